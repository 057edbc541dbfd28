//! The category of the first delivery's failure, from structured evidence only, never from the event's own
//! body.

/// The failure of the first delivery, as far as the dead letter describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalFailure {
    /// `EventBridge`'s `ERROR_CODE`.
    pub error_code: Option<String>,
    /// `ERROR_MESSAGE`, or the `errorMessage` of a hand-written body.
    pub error_message: Option<String>,
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
            Some("SDK_CLIENT_ERROR") => match status_in(message) {
                Some(status @ 400..=499) => by_status(status),
                Some(_) | None => Category::EndpointUnreachable,
            },
            Some(code) => by_error_code(code).unwrap_or_else(|| by_message(message)),
            None => by_message(message),
        }
    }
}

/// Returns the category of an error code that is conclusive alone. The list of codes is open.
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
        _ => return status_word(code).map(by_status),
    })
}

fn by_message(message: &str) -> Category {
    status_in(message).map_or_else(|| by_words(message), by_status)
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

fn by_words(message: &str) -> Category {
    /// An ordered list: the first line with a word in the message decides.
    const WORDS: &[(Category, &[&str])] = &[
        (
            Category::RateLimitExceeded,
            &["rate limit", "rate exceeded", "throttl", "too many requests"],
        ),
        (
            Category::AuthenticationRejected,
            &["unauthorized", "not authorized", "forbidden", "permission", "access denied"],
        ),
        (
            Category::EndpointUnreachable,
            &[
                "timeout",
                "timed out",
                "connection refused",
                "connection reset",
                "unreachable",
                "unavailable",
            ],
        ),
        (Category::TargetMissing, &["not found", "does not exist"]),
        (Category::PayloadMalformed, &["malformed", "invalid json", "schema", "size exceeded"]),
    ];
    let message = before_payload(message).to_lowercase();
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| message.contains(word)))
        .map_or(Category::Unknown, |(category, _)| *category)
}

/// Returns the first HTTP error status that is a separate word in `message`.
///
/// Digits inside ids, timestamps, addresses and versions do not count. Text after the word "payload" does not
/// count either, because API destinations quote the target's answer there.
fn status_in(message: &str) -> Option<u16> {
    let mut words = before_payload(message)
        .split_whitespace()
        .filter(|word| !word.starts_with("arn:"))
        .map(without_port)
        .flat_map(|word| word.split(|c: char| "()[]{}<>\"'`,;=:".contains(c)))
        .map(|word| word.trim_end_matches(['.', '!', '?']))
        .filter(|word| !word.is_empty())
        .peekable();
    let mut before = "";
    while let Some(word) = words.next() {
        let counts_something = words.peek().is_some_and(|next| UNITS.contains(next));
        let numbers_something = NUMBERED.contains(&before.to_ascii_lowercase().as_str());
        if let Some(status) = status_word(word)
            && !counts_something
            && !numbers_something
        {
            return Some(status);
        }
        before = word;
    }
    None
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
];

/// Words before a number that show a position or a count: the number is not a status.
const NUMBERED: &[&str] = &["line", "column", "port", "position", "offset", "attempt", "after"];

/// Returns an address without its port: `10.0.0.7:503` and `https://crm.example:503` contain no status.
///
/// A bare name before a colon may be a host or, as in `response.status:503`, a member. It stays unchanged.
fn without_port(word: &str) -> &str {
    let Some((address, _)) = word.rsplit_once(':') else {
        return word;
    };
    let bare = address.trim_start_matches(['(', '[', '<', '"', '\'']);
    let is_address = match bare.split_once("://") {
        Some((_, host)) => !host.contains('/'),
        None => {
            bare.contains('.') && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        }
    };
    if is_address { address } else { word }
}

/// Parses a word as an HTTP error status. 443 is not a status: it is the port in `crm.example:443`.
fn status_word(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let status = digits.then(|| word.parse().ok()).flatten()?;
    ((400..=599).contains(&status) && status != 443).then_some(status)
}

/// Returns the part of the message about the failure, without the quoted payload or answer.
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
mod tests {
    use super::*;

    fn category(code: &str, message: &str) -> Category {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        OriginalFailure {
            error_code: some(code),
            error_message: some(message),
            ..OriginalFailure::default()
        }
        .category()
    }

    #[test]
    fn category_follows_the_message_when_the_code_is_generic() {
        assert_eq!(category("ERROR_FROM_TARGET", "status 429"), Category::RateLimitExceeded);
        assert_eq!(category("UNKNOWN", "schema mismatch"), Category::PayloadMalformed);
        assert_eq!(category("A_CODE_OF_TOMORROW", ""), Category::Unknown);
        assert_eq!(category("200", "connection refused"), Category::EndpointUnreachable);
        assert_eq!(category("429", ""), Category::RateLimitExceeded);
    }

    #[test]
    fn category_of_sdk_client_errors_follows_the_status() {
        let api = |status: &str| {
            category(
                "SDK_CLIENT_ERROR",
                &format!(
                    "ApiDestination returned HTTP status {status} with payload: {{\"code\":429}}"
                ),
            )
        };
        assert_eq!(api("400"), Category::PayloadMalformed);
        assert_eq!(api("403"), Category::AuthenticationRejected);
        assert_eq!(api("404"), Category::TargetMissing);
        assert_eq!(api("429"), Category::RateLimitExceeded);
        assert_eq!(api("409"), Category::Unknown);
        assert_eq!(api("503"), Category::EndpointUnreachable);
        assert_eq!(
            category("SDK_CLIENT_ERROR", "unable to execute request"),
            Category::EndpointUnreachable
        );
    }

    #[test]
    fn category_ignores_a_status_inside_a_word() {
        for message in [
            "status 503",
            "status=503",
            "(503)",
            "HTTP/1.1 503 Service",
            "status: 503.",
            "\"status\":503,",
            "response.status:503",
            "https://crm.example/events:503",
        ] {
            assert_eq!(category("", message), Category::EndpointUnreachable, "{message}");
        }
        for message in [
            "conversation 8a42942d-4290-4291-8503-503429401403 lost",
            "at 2026-07-25T10:30:00.429Z",
            "after 4290 ms",
            "gave up after 400 ms",
            "failed 503 times",
            "unexpected token at line 422 column 400",
            "function arn:aws:lambda:eu-west-1:271828182845:function:crm:400 failed",
            "host 10.0.0.503",
            "item-503",
            "order 0503",
            "v429",
            "region 200",
            "host 10.0.0.7:400",
            "host (10.0.0.7:400)",
            "https://crm.example:503",
        ] {
            assert_eq!(category("", message), Category::Unknown, "{message}");
        }
    }

    #[test]
    fn category_follows_words_without_a_status() {
        for (message, expected) in [
            ("connect to crm.example:443: connection refused", Category::EndpointUnreachable),
            ("Rate limit of the partner reached", Category::RateLimitExceeded),
            ("request was throttled", Category::RateLimitExceeded),
            ("User is Unauthorized", Category::AuthenticationRejected),
            ("missing permission", Category::AuthenticationRejected),
            ("read timeout", Category::EndpointUnreachable),
            ("connection refused", Category::EndpointUnreachable),
            ("malformed body", Category::PayloadMalformed),
            ("size exceeded", Category::PayloadMalformed),
            ("function does not exist", Category::TargetMissing),
            ("no idea", Category::Unknown),
            ("", Category::Unknown),
        ] {
            assert_eq!(category("", message), expected, "{message}");
        }
    }

    #[test]
    fn category_ignores_the_quoted_answer_of_the_target() {
        assert_eq!(category("", "refused, Payload: 429 rate limit"), Category::Unknown);
    }

    #[test]
    fn category_ignores_the_text_of_the_targets_code() {
        for (code, expected) in
            [(None, Category::Unknown), (Some("429"), Category::RateLimitExceeded)]
        {
            let failure = OriginalFailure {
                error_code: code.map(str::to_owned),
                error_message: Some("schema changed, see ticket 400".to_owned()),
                is_targets_text: true,
                ..OriginalFailure::default()
            };
            assert_eq!(failure.category(), expected);
        }
    }
}
