//! The words and numbers of an error code or message.

use super::Category;

/// Words of a text that occur near each other, in any order. A phrase matches from the beginning of a word; with a space
/// at its end it matches whole words.
struct Near {
    subjects: &'static [&'static str],
    faults: &'static [&'static str],
    /// Subjects of other systems. A text with one of them does not match.
    others: &'static [&'static str],
}

/// The maximum distance of a subject and its fault, in words.
const NEAR: usize = 4;

/// A malformed payload is archived without an attempt, so its phrases name the payload, its parts or its format. A fault of
/// a service that validates or parses is not one, and neither is a fault of an answer, a pool or a database.
const PAYLOAD_FAULTS: &[Near] = &[
    Near {
        subjects: &[
            "payload", "message ", "body", "request ", "entity", "content", "event ", "record ",
            "input",
        ],
        faults: &[
            "too large",
            "too long",
            "too big",
            "size exceed",
            "size limit",
            "length exceed",
            "length limit",
            "payload limit",
            "exceeds max",
            "exceeds the max",
            "exceeded max",
            "exceeded the max",
        ],
        others: SIZED_OTHERS,
    },
    Near {
        subjects: &["field", "property", "properties", "attribute", "element", "member "],
        faults: &["missing", "required", "mandatory", "absent"],
        others: &[],
    },
    Near {
        subjects: &["payload", "json", "body"],
        faults: &[
            "invalid",
            "not valid",
            "malformed",
            "syntax",
            "unexpected",
            "bad json",
            "bad payload",
            "bad body",
            "pars",
            "decod",
            "deserializ",
            "corrupt",
        ],
        others: &[
            "response",
            "answer",
            "reply",
            "web token",
            "web key",
            "config",
            "setting",
            "credential",
            "certificate",
        ],
    },
    Near {
        subjects: &["schema"],
        faults: &[
            "validat", "mismatch", "violat", "error", "invalid", "match", "conform", "fail",
            "against",
        ],
        others: SCHEMA_OTHERS,
    },
];

/// Other things than a payload that have a size.
const SIZED_OTHERS: &[&str] = &[
    "took", "buffer", "cache", "heap", "memory", "storage", "response", "stack", "pool", "queue",
    "disk", "log ", "file", "batch", "header", "cookie", "url ", "uri ",
];

/// Other schemas than that of a payload.
const SCHEMA_OTHERS: &[&str] = &[
    "registry",
    "table",
    "column",
    "database",
    "db ",
    "sql ",
    "migration",
    "transient",
    "retriev",
    "no schema",
    "management",
];

/// Size faults without a subject.
const SIZE_FAULTS: &[&str] = &["size exceed", "size limit", "length limit"];

/// A login's parts, which are refused.
const LOGIN_FAULT: Near = Near {
    subjects: &[
        "token",
        "signature",
        "issuer",
        "audience",
        "session",
        "jwt ",
        "csrf",
        "hmac",
        "credential",
        "client secret",
    ],
    faults: &[
        "expir",
        "invalid",
        "missing",
        "malformed",
        "revoked",
        "mismatch",
        "validation",
        "does not match",
    ],
    others: &[],
};

/// The phrases of the other categories: the first list with a phrase in the text decides.
const PHRASES: &[(Category, &[&str])] = &[
    (
        // Limits that say nothing about the rate, and a service that is not the target.
        Category::Unknown,
        &[
            "memory limit",
            "retry limit",
            "redirect limit",
            "attempt limit",
            "header or cookie",
            "schema registry",
        ],
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
            "api key",
            "assume role",
            "be assumed",
            "client secret",
            "request is expired",
            "jwt ",
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
            "timedout",
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
            "cert ",
            "x 509",
            "pkix",
            "https port",
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
            "5 xx ",
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
];

/// Phrases of a malformed payload that do not name it. They count only if nothing else is named.
const UNNAMED_FAULTS: &[&str] = &[
    "malformed",
    "validation error",
    "validation fail",
    "validation exception",
    "failed validation",
    "customer validation",
    "bad request",
    "unprocessable",
    "unsupported media type",
    "invalid input",
    "invalid execution input",
    "invalid data ",
    "invalid format",
    "invalid field",
    "invalid message",
    "missing parameter",
    "required parameter",
    "invalid parameter",
    "missing required",
    "parse error",
    "parse exception",
    "parse failed",
    "deserializ",
    "serialization error",
    "serialization exception",
];

/// Subjects of other systems that are validated, parsed or malformed too.
const OTHER_SUBJECTS: &[&str] = &[
    "response",
    "answer",
    "reply",
    "url ",
    "uri ",
    "token",
    "signature",
    "issuer",
    "audience",
    "cert",
    "key data",
    "license",
    "licence",
    "config",
    "setting",
    "environment",
    "database",
    "table",
    "sql ",
    "transaction",
    "concurrent",
    "session",
    "secret",
    "queue",
    "pool",
    "host ",
    "header",
    "cookie",
    "chunk",
    "content type",
    "data source",
    "file",
];

/// Returns the category of a text's words; `None` if they do not determine one. Separators and camel case separate words.
///
/// `is_of_aws`: the text is an error of an AWS service, which has the same words for the parameters of a call.
pub(super) fn category(text: &str, is_of_aws: bool) -> Option<Category> {
    let words = Words::of(text);
    let is_size_fault = words.have_any(SIZE_FAULTS) && !words.have_any(SIZED_OTHERS);
    if PAYLOAD_FAULTS.iter().any(|fault| words.have_near(fault)) || is_size_fault {
        return Some(Category::PayloadMalformed);
    }
    if words.have_near(&LOGIN_FAULT) {
        return Some(Category::AuthenticationRejected);
    }
    if let Some((category, _)) = PHRASES.iter().find(|(_, phrases)| words.have_any(phrases)) {
        return Some(*category);
    }
    let is_unnamed = words.have_any(UNNAMED_FAULTS) && !words.have_any(OTHER_SUBJECTS);
    (is_unnamed && !is_of_aws).then_some(Category::PayloadMalformed)
}

/// The words of a text in lower case, each followed by a space. A number is a word of its own.
struct Words(String);

impl Words {
    fn of(text: &str) -> Self {
        Self(spaced(text))
    }

    /// Returns the places of a phrase: the number of words before it.
    fn places(&self, phrase: &str) -> impl Iterator<Item = usize> {
        let before = self.0.match_indices(phrase).filter_map(|(at, _)| self.0.get(..at));
        before
            .filter(|before| before.is_empty() || before.ends_with(' '))
            .map(|before| before.matches(' ').count())
    }

    fn have_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.places(phrase).next().is_some())
    }

    fn have_near(&self, near: &Near) -> bool {
        let places = |phrases: &[&str]| -> Vec<usize> {
            phrases.iter().flat_map(|phrase| self.places(phrase)).collect()
        };
        let faults = places(near.faults);
        !faults.is_empty()
            && places(near.subjects)
                .iter()
                .any(|subject| faults.iter().any(|fault| subject.abs_diff(*fault) <= NEAR))
            && !self.have_any(near.others)
    }
}

/// The words of a code that make its number an HTTP status. Numbers of vendors, as in `ORA-503`, have other names.
const STATUS_NAMES: [&str; 10] = [
    "http", "https", "status", "response", "api", "rest", "webhook", "gateway", "server", "client",
];

/// Words of a code that make its number an HTTP status, unless it is the status of a malformed payload.
const WEAK_STATUS_NAMES: [&str; 2] = ["error", "err"];

/// The statuses of a malformed payload.
pub(super) const MALFORMED_STATUSES: [u16; 3] = [400, 413, 422];

/// Returns the HTTP error status inside an error code, such as `HTTP_503`, `Error503` or `503_SERVICE_UNAVAILABLE`;
/// `None` without one.
pub(super) fn status_in_code(code: &str) -> Option<u16> {
    let first = code.split(|letter: char| !letter.is_alphanumeric()).next();
    first.and_then(status).or_else(|| named_status(code))
}

/// Returns the number of a code that also has a name of a status.
pub(super) fn named_status(code: &str) -> Option<u16> {
    let words = spaced(code);
    let has = |names: &[&str]| words.split(' ').any(|word| names.contains(&word));
    let (is_named, is_weak) = (has(&STATUS_NAMES), has(&WEAK_STATUS_NAMES));
    let parts = code.split(|letter: char| !letter.is_alphanumeric());
    parts.filter(|_| is_named || is_weak).find_map(|part| {
        let (name, rest) = part.split_at(part.find(|letter: char| letter.is_ascii_digit())?);
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        // Not the digits of an id, such as `a403c`.
        let is_separate = name.is_empty() || name.chars().count() >= 3;
        let ends = rest.is_empty() || rest.starts_with(char::is_uppercase);
        let accepts = |status: &u16| is_named || !MALFORMED_STATUSES.contains(status);
        status(digits).filter(accepts).filter(|_| is_separate && ends)
    })
}

/// Returns the words of a text in lower case, each followed by a space.
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
        let category = |text| category(text, false);
        assert_eq!(category("unthrottled"), None);
        assert_eq!(category("a throttled call"), Some(Category::RateLimitExceeded));
        assert_eq!(category("quota exceeded"), Some(Category::RateLimitExceeded));
        assert_eq!(category("quotation failed"), None, "not a whole word");
    }

    #[test]
    fn subject_and_fault_match_near_each_other() {
        let category = |text| category(text, false);
        let malformed = Some(Category::PayloadMalformed);
        for text in ["body is invalid", "invalid request body", "invalid: the whole body"] {
            assert_eq!(category(text), malformed, "{text}");
        }
        assert_eq!(category("invalid order, which has no customer and no body"), None);
        assert_eq!(category("invalid response body"), None);
    }
}
