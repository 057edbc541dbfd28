//! The words and numbers of an error code or message.

use super::Category;

/// The phrases that determine the category: the first list with a phrase in the text decides. A phrase matches from
/// the beginning of a word; with a space at its end it matches whole words.
///
/// A malformed payload is archived without an attempt, so its phrases name the payload, its parts or its format. A fault of
/// a service that validates or parses is not one.
const PHRASES: &[(Category, &[&str])] = &[
    (
        Category::PayloadMalformed,
        &[
            "size limit",
            "size exceeded",
            "length limit",
            "payload limit",
            "payload too large",
            "payload too long",
            "payload too big",
            "message too large",
            "message too long",
            "message too big",
            "body too large",
            "body too long",
            "entity too large",
            "content too large",
            "request too large",
            "event too large",
            "missing required field",
            "missing required property",
            "missing required parameter",
            "missing required attribute",
            "missing required key",
            "missing required value",
            "missing required member",
            "missing required element",
            "missing required argument",
            "required field",
            "required property",
            "required parameter",
            "field required",
            "missing field",
            "missing property",
            "missing parameter",
            "invalid payload",
            "payload invalid",
            "invalid json",
            "not valid json",
            "schema validation",
            "unsupported media type",
        ],
    ),
    (
        // Limits that say nothing about the rate, and a service that is not the target.
        Category::Unknown,
        &["memory limit", "retry limit", "redirect limit", "attempt limit", "schema registry"],
    ),
    (
        Category::RateLimitExceeded,
        &[
            "rate limit",
            "ratelimit",
            "rate exceeded",
            "throttl",
            "too many requests",
            "quota ",
            "quotas ",
            "over limit",
            "overlimit",
            "limit reached",
            "resource exhausted",
            "resources exhausted",
            "concurrency limit",
            "request limit",
            "throughput exceeded",
            "slow down",
            "slowdown",
        ],
    ),
    (
        Category::AuthenticationRejected,
        &[
            "unauthori",
            "not authori",
            "authoriz",
            "authoris",
            "unauthenticated",
            "authentic",
            "auth error",
            "auth fail",
            "auth denied",
            "auth required",
            "oauth",
            "forbidden",
            "permission",
            "access denied",
            "accessdenied",
            "credential",
            "invalid signature",
            "signature invalid",
            "signature mismatch",
            "signature does not match",
            "signature expired",
            "api key",
            "assume role",
            "token expired",
            "expired token",
            "token has expired",
            "token is expired",
            "request is expired",
            "token invalid",
            "invalid token",
            "token revoked",
            "missing token",
            "token missing",
            "token validation",
            "jwt ",
            "session expired",
            "invalid client",
            "invalid grant",
            "unrecognized client",
        ],
    ),
    (
        Category::EndpointUnreachable,
        &[
            "timeout",
            "timed out",
            "time out",
            "time limit",
            "connection",
            "connectivity",
            "connect ",
            "conn ",
            "network",
            "socket",
            "unreachable",
            "unavailable",
            "econn",
            "etimedout",
            "esockettimedout",
            "ehostunreach",
            "enotfound",
            "eai again",
            "epipe",
            "broken pipe",
            "certificate",
            "handshake",
            "tls ",
            "ssl ",
            "dns ",
            "unknown host",
            "no such host",
            "host not found",
            "name resolution",
            "name or service not known",
            "gateway",
            "server error",
            "server busy",
            "internal error",
            "internal failure",
            "internal exception",
            "service exception",
            "upstream",
            "deadline exceeded",
            "no healthy",
            "overload",
            "down ",
            "try again",
            "5xx ",
        ],
    ),
    (Category::RateLimitExceeded, &["limit exceeded"]),
    (
        Category::TargetMissing,
        &[
            "not found",
            "notfound",
            "does not exist",
            "doesn t exist",
            "target missing",
            "no such",
            "non exist",
            "nonexist",
            "was deleted",
            "has been deleted",
            "deleted recently",
        ],
    ),
    (
        Category::PayloadMalformed,
        &[
            "malformed",
            "schema",
            "validation error",
            "validation fail",
            "validation exception",
            "failed validation",
            "customer validation",
            "bad request",
            "unprocessable",
            "invalid body",
            "invalid request",
            "invalid input",
            "invalid execution input",
            "invalid parameter",
            "invalid argument",
            "invalid format",
            "invalid field",
            "invalid message",
            "parse error",
            "parse exception",
            "parse failed",
            "json parse",
            "json decode",
            "deserializ",
            "serialization error",
            "serialization exception",
        ],
    ),
];

/// Returns the category of the first phrase; `None` if the text has none. Separators and camel case separate words.
pub(super) fn category(text: &str) -> Option<Category> {
    let words = spaced(text);
    let has = |phrase: &&str| {
        words.match_indices(*phrase).any(|(at, _)| words.get(..at).is_some_and(ends_a_word))
    };
    PHRASES
        .iter()
        .find(|(_, phrases)| phrases.iter().any(has))
        .map(|(category, _)| *category)
        .filter(|category| *category != Category::Unknown)
}

fn ends_a_word(before: &str) -> bool {
    before.is_empty() || before.ends_with(' ')
}

/// The words of a code that make its number an HTTP status. Numbers of vendors, as in `ORA-503`, have other names.
const STATUS_NAMES: [&str; 12] = [
    "http", "https", "status", "response", "api", "rest", "webhook", "gateway", "server", "client",
    "error", "err",
];

/// Returns the HTTP error status inside an error code, such as `HTTP_503`, `Error503` or `503_SERVICE_UNAVAILABLE`;
/// `None` without one.
pub(super) fn status_in_code(code: &str) -> Option<u16> {
    let first = code.split(|letter: char| !letter.is_alphanumeric()).next();
    first.and_then(status).or_else(|| named_status(code))
}

/// Returns the number of a code that also has a name of a status.
pub(super) fn named_status(code: &str) -> Option<u16> {
    let words = spaced(code);
    let is_named = words.split(' ').any(|word| STATUS_NAMES.contains(&word));
    code.split(|letter: char| !letter.is_alphanumeric()).filter(|_| is_named).find_map(|part| {
        let (name, rest) = part.split_at(part.find(|letter: char| letter.is_ascii_digit())?);
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        // Not the digits of an id, such as `a403c`.
        let is_separate = name.is_empty() || name.chars().count() >= 3;
        let ends = rest.is_empty() || rest.starts_with(char::is_uppercase);
        status(digits).filter(|_| is_separate && ends)
    })
}

/// Returns the words of a text in lower case, each followed by a space. A number is a word of its own.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() {
            before = ' ';
            continue;
        }
        // `NonExistent`, and `HTTPError`: the last capital begins the next word.
        let begins_lower = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = before == ' '
            || before.is_numeric() != letter.is_numeric()
            || letter.is_uppercase() && (before.is_lowercase() || begins_lower);
        if begins && !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.extend(letter.to_lowercase());
        before = letter;
    }
    if !spaced.is_empty() {
        spaced.push(' ');
    }
    spaced
}

/// Parses a word as an HTTP error status. 443 is not a status: it is the port in `crm.example:443`.
pub(super) fn status(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let status = digits.then(|| word.parse().ok()).flatten()?;
    ((400..=599).contains(&status) && status != 443).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separated_by_separators_camel_case_and_digits() {
        for (text, expected) in [
            ("NETWORK_TIMEOUT", "network timeout "),
            ("SchemaValidationError", "schema validation error "),
            ("HTTPError503", "http error 503 "),
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                "aws simple queue service non existent queue ",
            ),
            ("  rate-limit: 5 ", "rate limit 5 "),
            ("Überlast", "überlast "),
            ("", ""),
            ("__", ""),
        ] {
            assert_eq!(spaced(text), expected, "{text}");
        }
    }

    #[test]
    fn phrase_matches_from_the_beginning_of_a_word() {
        assert_eq!(category("unthrottled"), None);
        assert_eq!(category("a throttled call"), Some(Category::RateLimitExceeded));
        assert_eq!(category("quota exceeded"), Some(Category::RateLimitExceeded));
        assert_eq!(category("quotation failed"), None, "not a whole word");
    }
}
