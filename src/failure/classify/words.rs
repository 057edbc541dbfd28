//! The words and numbers of an error code or message.

use super::Category;

/// The phrases that determine the category: the first list with a phrase in the text decides. A phrase matches from
/// the beginning of a word; with a space at its end it matches whole words.
const PHRASES: &[(Category, &[&str])] = &[
    (
        // Before the other limits.
        Category::PayloadMalformed,
        &["size limit", "size exceeded", "payload too", "message too", "body too", "entity too"],
    ),
    (
        Category::RateLimitExceeded,
        &[
            "rate limit",
            "ratelimit",
            "rate exceeded",
            "throttl",
            "too many requests",
            "quota",
            "limit exceeded",
            "throughput exceeded",
            "slow down",
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
            "auth ",
            "forbidden",
            "permission",
            "access denied",
            "credential",
            "signature",
            "api key",
            "assume role",
            "token expired",
            "token invalid",
            "token validation",
            "token revoked",
            "expired token",
            "invalid token",
            "missing token",
            "invalid client",
            "invalid grant",
        ],
    ),
    (
        Category::EndpointUnreachable,
        &[
            "timeout",
            "timed out",
            "time out",
            "connection",
            "connect ",
            "network",
            "socket",
            "unreachable",
            "unavailable",
            "econn",
            "etimedout",
            "ehostunreach",
            "enotfound",
            "certificate",
            "tls ",
            "dns ",
            "no such host",
            "host not found",
            "name resolution",
            "gateway",
            "server error",
            "internal failure",
            "try again",
            "retryable",
        ],
    ),
    (
        Category::TargetMissing,
        &[
            "not found",
            "notfound",
            "does not exist",
            "target missing",
            "no such",
            "non exist",
            "nonexist",
        ],
    ),
    (
        Category::PayloadMalformed,
        &[
            "malformed",
            "schema",
            "validation",
            "bad request",
            "unprocessable",
            "invalid json",
            "invalid payload",
            "invalid body",
            "invalid request",
            "invalid input",
            "invalid parameter",
            "invalid argument",
            "invalid format",
            "invalid field",
            "invalid event",
            "invalid message",
            "invalid data",
            "missing required",
            "missing field",
            "missing property",
            "missing parameter",
            "required field",
            "required property",
            "required parameter",
            "parse error",
            "parsing ",
            "deserializ",
        ],
    ),
];

/// Returns the category of the first phrase; `None` if the text has none. Separators and camel case separate words.
pub(super) fn category(text: &str) -> Option<Category> {
    let words = spaced(text);
    let has = |phrase: &&str| {
        words.match_indices(*phrase).any(|(at, _)| words.get(..at).is_some_and(ends_a_word))
    };
    PHRASES.iter().find(|(_, phrases)| phrases.iter().any(has)).map(|(category, _)| *category)
}

fn ends_a_word(before: &str) -> bool {
    before.is_empty() || before.ends_with(' ')
}

/// Returns the HTTP error status inside an error code, such as `HTTP_503` or `Error503`; `None` without one.
pub(super) fn status_in_code(code: &str) -> Option<u16> {
    code.split(|letter: char| !letter.is_alphanumeric()).find_map(|part| {
        let (name, rest) = part.split_at(part.find(|letter: char| letter.is_ascii_digit())?);
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        // Not the digits of an id, such as `a403c`.
        let is_named = name.is_empty() || name.chars().count() >= 3;
        let ends = rest.is_empty() || rest.starts_with(char::is_uppercase);
        status(digits).filter(|_| is_named && ends)
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
        assert_eq!(category("AUTH_FAILED"), Some(Category::AuthenticationRejected));
        assert_eq!(category("author"), None, "not a whole word");
    }
}
