//! Texts from other programs.

/// Returns a text without a leading byte order mark, which some programs write and JSON does not allow.
#[must_use]
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leading_byte_order_mark_is_removed() {
        for (text, expected) in
            [("\u{feff}{}", "{}"), ("{}", "{}"), ("", ""), ("a\u{feff}", "a\u{feff}")]
        {
            assert_eq!(without_bom(text), expected);
        }
    }
}
