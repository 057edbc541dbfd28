//! The HTTP error status in an error code or message.

use super::words::spaced;

/// The words of a code that make its number an HTTP status. Numbers of vendors, as in `ORA-503`, have other names.
const STATUS_NAMES: [&str; 9] =
    ["http", "https", "status", "response", "api", "rest", "webhook", "gateway", "client"];

/// Words of a code that make its number an HTTP status, unless it is the status of a malformed payload.
const WEAK_STATUS_NAMES: [&str; 3] = ["error", "err", "server"];

/// The statuses of a malformed payload.
pub(super) const MALFORMED_STATUSES: [u16; 3] = [400, 413, 422];

/// Returns the HTTP error status inside an error code, such as `HTTP_503`, `Error503` or `503_SERVICE_UNAVAILABLE`;
/// `None` without one.
pub(super) fn status_in_code(code: &str) -> Option<u16> {
    let first = code.split(|letter: char| !letter.is_alphanumeric()).next();
    first.and_then(status).or_else(|| named_status(code))
}

/// Returns the number of a code that also has a name of a status.
fn named_status(code: &str) -> Option<u16> {
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

/// Returns the first HTTP error status that is a separate word in `message`.
///
/// Digits inside ids, timestamps, addresses and versions do not count. The status of a malformed payload needs a word such
/// as `HTTP` or `status` before it, its reason phrase after it, or the beginning of the message.
pub(super) fn status_in(message: &str) -> Option<u16> {
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
        let has_context =
            is_named || is_alone || is_reason_phrase(next) || named_status(piece.text).is_some();
        status_word(piece.text)
            .filter(|status| !is_count && (has_context || !MALFORMED_STATUSES.contains(status)))
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
    status(word).or_else(|| named_status(word))
}

/// Parses a word as an HTTP error status. 443 is not a status: it is the port in `crm.example:443`.
fn status(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let status = digits.then(|| word.parse().ok()).flatten()?;
    ((400..=599).contains(&status) && status != 443).then_some(status)
}
