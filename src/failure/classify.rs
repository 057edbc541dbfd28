//! The category of the first delivery's failure, from structured evidence only, never from the event's own
//! body.

mod phrases;
mod status;
mod words;

use crate::destination::MAX_TARGET_BYTES;

/// The failure of the first delivery, as far as the dead letter describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalFailure {
    /// `EventBridge`'s `ERROR_CODE`.
    pub error_code: Option<String>,
    /// `ERROR_MESSAGE`, or the `errorMessage` of a hand-written body.
    pub error_message: Option<String>,
    /// The stack trace, if another system recorded one. It is shown to people, and is not evidence.
    pub stack_trace: Option<String>,
    /// The rule that matched the event.
    pub rule_arn: Option<String>,
    /// The target that did not accept the event.
    pub target_arn: Option<String>,
    /// True if the error message is a text of the target's own code. It is shown to people, and is not
    /// evidence.
    pub is_targets_text: bool,
    /// The number of delivery retries before the first deliverer rejected the event.
    pub retry_attempts: u32,
}

/// The category of the first failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// The target was throttled.
    RateLimitExceeded,
    /// The target refused the caller.
    AuthenticationRejected,
    /// The target was down, unreachable or too slow.
    EndpointUnreachable,
    /// The target does not exist.
    TargetMissing,
    /// The payload was refused as malformed.
    PayloadMalformed,
    /// The evidence is missing or not recognised.
    Unknown,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 6] = [
        Self::RateLimitExceeded,
        Self::AuthenticationRejected,
        Self::EndpointUnreachable,
        Self::TargetMissing,
        Self::PayloadMalformed,
        Self::Unknown,
    ];

    /// Returns the name used in logs, in the ledger and in the archive.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::AuthenticationRejected => "AUTHENTICATION_REJECTED",
            Self::EndpointUnreachable => "ENDPOINT_UNREACHABLE",
            Self::TargetMissing => "TARGET_MISSING",
            Self::PayloadMalformed => "PAYLOAD_MALFORMED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Category {
    /// Returns true if the payload itself was at fault, so that another delivery fails the same way.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        match self {
            Self::PayloadMalformed => true,
            Self::RateLimitExceeded
            | Self::AuthenticationRejected
            | Self::EndpointUnreachable
            | Self::TargetMissing
            | Self::Unknown => false,
        }
    }
}

impl OriginalFailure {
    /// Returns the target that did not accept the event, as far as it is short enough to be one.
    #[must_use]
    pub fn original_target(&self) -> Option<&str> {
        let target = self.target_arn.as_deref();
        target.filter(|target| !target.is_empty() && target.len() <= MAX_TARGET_BYTES)
    }

    /// Returns the category: the error code decides, then an HTTP status in the message, then words in the
    /// message.
    #[must_use]
    pub fn category(&self) -> Category {
        let message = self.error_message.as_deref();
        let message = message.filter(|_| !self.is_targets_text).unwrap_or_default();
        let message = &without_frames(before_payload(message));
        match self.error_code.as_deref() {
            Some("SDK_CLIENT_ERROR") => match status::status_in(message) {
                Some(400..=499) => by_message(message),
                Some(_) | None => Category::EndpointUnreachable,
            },
            Some(code) => by_error_code(code, message).unwrap_or_else(|| by_message(message)),
            None => by_message(message),
        }
    }
}

/// Returns the category of an error code. The list of codes is open, so an unlisted code is read as words: `HTTP_503`,
/// `NETWORK_TIMEOUT`, `TokenExpired`.
fn by_error_code(code: &str, message: &str) -> Option<Category> {
    match code {
        "THROTTLING" | "RESOURCE_LIMIT_EXCEEDED" => Some(Category::RateLimitExceeded),
        "NO_PERMISSIONS" | "FAILED_TO_ASSUME_ROLE" => Some(Category::AuthenticationRejected),
        "CONNECTION_FAILURE" | "TIMEOUT" | "INTERNAL_ERROR" | "TRANSIENT_ASSUME_ROLE" => {
            Some(Category::EndpointUnreachable)
        }
        "NO_RESOURCE" => Some(Category::TargetMissing),
        "INVALID_JSON" | "INVALID_PARAMETER" => Some(Category::PayloadMalformed),
        _ => by_unlisted_code(code, message),
    }
}

fn by_unlisted_code(code: &str, message: &str) -> Option<Category> {
    let is_of_aws = is_aws_error(message);
    // The dead letter of a Lambda function has the status of the invocation as its error code.
    if let Some(status) = status::status_in_code(code).filter(|it| *it != 400 || !is_of_aws) {
        return Some(by_status(status, &format!("{code} {message}")));
    }
    let found = words::named_category(code).or_else(|| {
        // A code such as `BAD_REQUEST` does not name the payload, so words about another cause in the message are stronger.
        let is_malformed = words::is_unnamed_fault(code) && !is_of_aws && !is_parameter_code(code);
        is_malformed.then(|| words::category(message).unwrap_or(Category::PayloadMalformed))
    });
    found.filter(|category| *category != Category::Unknown)
}

/// Returns true for an AWS service's code for a parameter of a call, such as the missing group of a FIFO queue's message.
fn is_parameter_code(code: &str) -> bool {
    let name = code.rsplit('.').next().unwrap_or(code);
    let name = name.strip_suffix("Exception").unwrap_or(name);
    ["MissingParameter", "MissingRequiredParameter", "InvalidParameter", "InvalidParameterValue"]
        .contains(&name)
}

fn by_message(message: &str) -> Category {
    evidence_status(message).map_or_else(
        || {
            // AWS services have the same words for the parameters of a call.
            let found = if is_aws_error(message) {
                words::named_category(message)
            } else {
                words::category(message)
            };
            found.unwrap_or(Category::Unknown)
        },
        |status| by_status(status, message),
    )
}

/// Returns the HTTP error status in `message`, if it is evidence.
///
/// AWS answers most errors with 400, also throttling, missing queues and disabled keys. Its SDKs append this status, so
/// there it is not evidence of a malformed payload.
fn evidence_status(message: &str) -> Option<u16> {
    status::status_in(message).filter(|status| *status != 400 || !is_aws_error(message))
}

/// Returns true for the text of an SDK about an error of an AWS service.
fn is_aws_error(message: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "(service:",
        "requestid",
        "request id",
        "an error occurred (",
        "$metadata",
        "aws http error",
        "__type",
    ];
    let message = message.to_ascii_lowercase();
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// Returns the category of an HTTP error status. Many services respond with 400 or 422 to a refused login and to a rate
/// that is too high. So words about another cause in `text` decide there.
fn by_status(status: u16, text: &str) -> Category {
    match status {
        429 => Category::RateLimitExceeded,
        401 | 403 => Category::AuthenticationRejected,
        404 => Category::TargetMissing,
        408 | 500..=599 => Category::EndpointUnreachable,
        _ if status::MALFORMED_STATUSES.contains(&status) => {
            words::category(text).unwrap_or(Category::PayloadMalformed)
        }
        _ => Category::Unknown,
    }
}

/// Returns a message without the lines of a stack trace that name a place in the code.
fn without_frames(message: &str) -> String {
    let is_frame = |line: &&str| {
        let begun = line.trim_start();
        begun.len() < line.len() && begun.starts_with("at ")
    };
    message.lines().filter(|line| !is_frame(line)).collect::<Vec<_>>().join("\n")
}

/// Returns the part of the message about the failure, up to the word before a quoted payload or answer: API destinations
/// quote the target's answer after `with payload:`.
fn before_payload(message: &str) -> &str {
    message
        .char_indices()
        .find(|(at, _)| {
            message
                .get(*at..at + "payload:".len())
                .is_some_and(|word| word.eq_ignore_ascii_case("payload:"))
        })
        .map_or(message, |(at, _)| message.get(..at + "payload".len()).unwrap_or(message))
}

#[cfg(test)]
mod tests;
