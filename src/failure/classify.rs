//! The category of the first delivery's failure, from structured evidence only, never from the event's own
//! body.

mod phrases;
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
        let message = &without_frames(before_payload(message));
        match self.error_code.as_deref() {
            Some("SDK_CLIENT_ERROR") => match status_in(message) {
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
    if let Some(status) = words::status_in_code(code).filter(|it| *it != 400 || !is_of_aws) {
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
    status_in(message).filter(|status| *status != 400 || !is_aws_error(message))
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
        _ if words::MALFORMED_STATUSES.contains(&status) => {
            words::category(text).unwrap_or(Category::PayloadMalformed)
        }
        _ => Category::Unknown,
    }
}

/// Returns the first HTTP error status that is a separate word in `message`.
///
/// Digits inside ids, timestamps, addresses and versions do not count. The status of a malformed payload needs a word such
/// as `HTTP` or `status` before it, its reason phrase after it, or the beginning of the message.
fn status_in(message: &str) -> Option<u16> {
    let words: Vec<Piece<'_>> = message
        .split_whitespace()
        .filter(|word| !word.starts_with("arn:"))
        .flat_map(pieces)
        .filter(|piece| !piece.text.is_empty())
        .collect();
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", |piece| piece.text);
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
    words.iter().enumerate().find_map(|(at, piece)| {
        let (before, second) = (word(at.checked_sub(1)), word(at.checked_sub(2)));
        let next = word(Some(at + 1));
        // `3 of 400` and `400 of 500`.
        let is_share =
            before == "of" && is_number(second) || next == "of" && is_number(word(Some(at + 2)));
        // The second part of a number, as in `1,400` and `400:17`.
        let continues = !piece.is_first && is_number(before);
        let is_exit_code = before == "code" && second == "exit";
        let is_count = is_share
            || is_exit_code
            || continues
            || UNITS.contains(&next)
            || NUMBERED.contains(&before.to_ascii_lowercase().as_str());
        let mut said = (1..=3).map_while(|back| at.checked_sub(back)).map(|at| word(Some(at)));
        // `responded with a 400` and `status code is 400`.
        let is_named = is_status_word(before)
            || said.find(|word| !is_connective(word)).is_some_and(is_status_word)
            || before == "success" && second == "indicate";
        let is_alone =
            (at == 0 || piece.is_bracketed) && (next.is_empty() || next == "-" || piece.is_label);
        let has_context = is_named
            || is_alone
            || is_reason_phrase(next)
            || words::named_status(piece.text).is_some();
        status_word(piece.text).filter(|status| {
            !is_count && (has_context || !words::MALFORMED_STATUSES.contains(status))
        })
    })
}

/// A part of a word, between its punctuation.
struct Piece<'m> {
    text: &'m str,
    is_first: bool,
    /// True if the word is in brackets alone, as in `(503)`.
    is_bracketed: bool,
    /// True if the word ends with a colon, as in `503: no answer`.
    is_label: bool,
}

/// Splits a word at its punctuation.
fn pieces(word: &str) -> impl Iterator<Item = Piece<'_>> {
    let is_separator = |letter: char| "()[]{}<>\"'`,;=:".contains(letter);
    let end = word.trim_end_matches(['.', ',', ';', ':']);
    let is_bracketed = word.starts_with('(') && end.ends_with(')');
    let is_label = word.ends_with(':');
    let mut is_first = true;
    without_port(word).split(is_separator).map(move |piece| {
        let text = piece.trim_end_matches(['.', '!', '?']);
        let first = is_first;
        is_first &= piece.is_empty();
        let is_bracketed = is_bracketed && end.len() == text.len() + 2;
        Piece { text, is_first: first, is_bracketed, is_label }
    })
}

/// Returns true for a word before a status.
fn is_status_word(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.contains("status")
        || word.starts_with("http") && !word.starts_with("http/2")
        // The end of an address.
        || word.starts_with("//")
        || ["response", "responded", "returned", "returns", "answered"].contains(&&*word)
}

/// Returns true for a word between a status and its name.
fn is_connective(word: &str) -> bool {
    ["a", "an", "the", "with", "is", "was", "of", "code", "error"]
        .contains(&&*word.to_ascii_lowercase())
}

/// Returns true for the first word of the reason phrase of 400, 413 or 422.
fn is_reason_phrase(word: &str) -> bool {
    ["bad", "payload", "content", "request", "unprocessable"].contains(&&*word.to_ascii_lowercase())
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

/// Returns a message without the lines of a stack trace that name a place in the code.
fn without_frames(message: &str) -> String {
    let is_frame = |line: &&str| {
        let begun = line.trim_start();
        begun.len() < line.len() && begun.starts_with("at ")
    };
    message.lines().filter(|line| !is_frame(line)).collect::<Vec<_>>().join("\n")
}

/// Returns the part of the message about the failure, without the quoted payload or answer: API destinations quote the
/// target's answer after `with payload:`.
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
