//! The category of the first delivery's failure, from structured evidence only, never from the event's own
//! body.

mod words;

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
    /// Returns the category: the error code decides, then an HTTP status in the message, then words in the
    /// message.
    #[must_use]
    pub fn category(&self) -> Category {
        let message = self.error_message.as_deref();
        let message = message.filter(|_| !self.is_targets_text).unwrap_or_default();
        match self.error_code.as_deref() {
            Some("SDK_CLIENT_ERROR") => match status_in(before_payload(message)) {
                Some(400) => by_message(message),
                Some(status @ 401..=499) => by_status(status),
                Some(_) | None => Category::EndpointUnreachable,
            },
            Some(code) => by_error_code(code).unwrap_or_else(|| by_message(message)),
            None => by_message(message),
        }
    }
}

/// Returns the category of an error code that is conclusive alone. The list of codes is open, so an unlisted code is
/// read as words: `HTTP_503`, `NETWORK_TIMEOUT`, `TokenExpired`.
fn by_error_code(code: &str) -> Option<Category> {
    Some(match code {
        "THROTTLING" | "RESOURCE_LIMIT_EXCEEDED" => Category::RateLimitExceeded,
        "NO_PERMISSIONS" | "FAILED_TO_ASSUME_ROLE" => Category::AuthenticationRejected,
        "CONNECTION_FAILURE" | "TIMEOUT" | "INTERNAL_ERROR" | "TRANSIENT_ASSUME_ROLE" => {
            Category::EndpointUnreachable
        }
        "NO_RESOURCE" => Category::TargetMissing,
        "INVALID_JSON" | "INVALID_PARAMETER" => Category::PayloadMalformed,
        // The dead letter of a Lambda function has the status of the invocation as its error code.
        _ => return words::status_in_code(code).map(by_status).or_else(|| words::category(code)),
    })
}

fn by_message(message: &str) -> Category {
    let message = before_payload(message);
    evidence_status(message)
        .map(by_status)
        .or_else(|| words::category(message))
        .unwrap_or(Category::Unknown)
}

/// Returns the HTTP error status in `message`, if it says anything.
///
/// AWS answers most errors with 400, also throttling, missing queues and disabled keys. Its SDKs append this status, so
/// there it is not evidence of a malformed payload.
fn evidence_status(message: &str) -> Option<u16> {
    const AWS_ERRORS: [&str; 4] = ["(Service:", "RequestID", "Request ID", "An error occurred ("];
    let is_of_aws = AWS_ERRORS.iter().any(|sign| message.contains(sign));
    status_in(message).filter(|status| *status != 400 || !is_of_aws)
}

fn by_status(status: u16) -> Category {
    match status {
        429 => Category::RateLimitExceeded,
        401 | 403 => Category::AuthenticationRejected,
        404 => Category::TargetMissing,
        400 | 413 | 422 => Category::PayloadMalformed,
        408 | 500..=599 => Category::EndpointUnreachable,
        _ => Category::Unknown,
    }
}

/// Returns the first HTTP error status that is a separate word in `message`.
///
/// Digits inside ids, timestamps, addresses and versions do not count.
fn status_in(message: &str) -> Option<u16> {
    let words: Vec<(&str, bool)> = message
        .split_whitespace()
        .filter(|word| !word.starts_with("arn:"))
        .map(without_port)
        .flat_map(pieces)
        .map(|(word, is_first)| (word.trim_end_matches(['.', '!', '?']), is_first))
        .filter(|(word, _)| !word.is_empty())
        .collect();
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", |(word, _)| *word);
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
    words.iter().enumerate().find_map(|(at, (found, is_first))| {
        let (before, next) = (word(at.checked_sub(1)), word(Some(at + 1)));
        // `3 of 400` and `400 of 500`.
        let is_share = before == "of" && is_number(word(at.checked_sub(2)))
            || next == "of" && is_number(word(Some(at + 2)));
        // The second part of a number, as in `1,400` and `400:17`.
        let continues = !is_first && is_number(before);
        let is_exit_code = before == "code" && word(at.checked_sub(2)) == "exit";
        let is_count = is_share
            || is_exit_code
            || continues
            || UNITS.contains(&next)
            || NUMBERED.contains(&before.to_ascii_lowercase().as_str());
        status_word(found).filter(|_| !is_count)
    })
}

/// Splits a word at its punctuation. The flag is true for the first piece of the word.
fn pieces(word: &str) -> impl Iterator<Item = (&str, bool)> {
    let is_separator = |letter: char| "()[]{}<>\"'`,;=:".contains(letter);
    let mut is_first = true;
    word.split(is_separator).map(move |piece| {
        let first = is_first;
        is_first &= piece.is_empty();
        (piece, first)
    })
}

/// Words after a number that show a count: the number is not a status.
const UNITS: &[&str] = &[
    "ms",
    "s",
    "sec",
    "seconds",
    "milliseconds",
    "minutes",
    "bytes",
    "KB",
    "KiB",
    "MB",
    "MiB",
    "times",
    "attempts",
    "retries",
    "records",
    "events",
    "items",
    "messages",
    "failures",
    "requests",
    "connections",
    "invocations",
    "rows",
    "files",
    "%",
];

/// Words before a number that show a position or a count: the number is not a status.
const NUMBERED: &[&str] = &[
    "line",
    "column",
    "port",
    "position",
    "offset",
    "attempt",
    "after",
    "retry-after",
    "timeout",
    "content-length",
    "length",
    "size",
    "depth",
    "concurrency",
    "limit",
    "elapsed",
    "duration",
    "pid",
    "build",
    "version",
];

/// Returns an address without its port, and a file without its line: `10.0.0.7:503`, `https://crm.example:503` and
/// `index.js:400:17` contain no status.
///
/// A name with dots before a colon may also be a member, as in `response.status:503`. Its last part decides.
fn without_port(word: &str) -> &str {
    let bare = word.trim_start_matches(['(', '[', '<', '"', '\'']);
    if let Some((_, host)) = bare.split_once("://") {
        let is_whole_host = !host.contains('/');
        return word
            .rsplit_once(':')
            .map_or(word, |(host, _)| if is_whole_host { host } else { word });
    }
    let Some((name, _)) = bare.split_once(':') else {
        return word;
    };
    let last = name.rsplit(['.', '/']).next().unwrap_or_default().to_ascii_lowercase();
    let is_member = ["status", "statuscode", "code", "error"].contains(&&*last);
    if name.contains('.') && !is_member { name } else { word }
}

/// Parses a word as an HTTP error status. `HTTP_503` is one too, because such codes also occur in messages.
fn status_word(word: &str) -> Option<u16> {
    words::status(word).or_else(|| words::named_status(word))
}

/// Returns the part of the message about the failure, without the quoted payload or answer: API destinations quote the
/// target's answer after the word "payload".
fn before_payload(message: &str) -> &str {
    message
        .char_indices()
        .find(|(at, _)| {
            message
                .get(*at..at + "payload:".len())
                .is_some_and(|word| word.eq_ignore_ascii_case("payload:"))
        })
        .map_or(message, |(at, _)| message.get(..at).unwrap_or(message))
}

#[cfg(test)]
mod tests;
