//! JSON bodies of answers. They come from outside: nothing in them is trusted.

use serde::de::DeserializeOwned;

/// The maximum length of an error code that is shown, in bytes. Genesys' own codes are at most half as long.
pub(crate) const MAX_CODE_BYTES: usize = 64;

/// Parses a body that is an object; returns `None` for anything else. serde alone would accept a list and
/// take its items as members.
#[must_use]
pub fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    first.filter(|byte| **byte == b'{')?;
    serde_json::from_slice(body).ok()
}

/// Returns an error code if it has the form of one. Log lines and the archive contain it, and any other text
/// in its place could hold anything.
pub(crate) fn printable_code(code: Option<String>) -> Option<String> {
    code.filter(|code| {
        (1..=MAX_CODE_BYTES).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_refused_when_body_is_a_list() {
        type Any = std::collections::BTreeMap<String, serde_json::Value>;
        assert!(parse_object::<Any>(b" {}").is_some());
        for body in ["", " ", "[]", "null", "{", "{}{}", "\"{}\""] {
            assert!(parse_object::<Any>(body.as_bytes()).is_none(), "{body}");
        }
    }
}
