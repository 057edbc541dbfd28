//! Inputs in the format of a mail: lines `name: value`, an empty line, and the rest.
//!
//! The format is text, so that people can read and write inputs, and a fuzzer that moves bytes still
//! makes valid ones. A line that begins with a space continues the line before.

use std::str::FromStr;

/// The parts of an input. Every byte sequence is a valid input.
pub(crate) struct Parts<'i> {
    pub(crate) lines: Vec<(String, String)>,
    pub(crate) rest: &'i [u8],
}

impl<'i> Parts<'i> {
    pub(crate) fn read(input: &'i [u8]) -> Self {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.get(1..).unwrap_or_default();
            if line.is_empty() {
                break;
            }
            let line = String::from_utf8_lossy(line);
            if let (Some(more), Some((_, value))) = (line.strip_prefix(' '), lines.last_mut()) {
                value.push('\n');
                value.push_str(more);
            } else {
                let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
                lines.push((name.to_owned(), value.to_owned()));
            }
        }
        Self { lines, rest }
    }

    /// Returns the rest as text, because queues transport text only.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.rest).into_owned()
    }

    /// Removes and returns the first value with this name.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.lines.iter().position(|(it, _)| it == name)?;
        Some(self.lines.remove(at).1)
    }

    /// Removes, parses and returns the first value with this name.
    pub(crate) fn take_as<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.take(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_read_as_header_lines_and_a_body() {
        let mut parts = Parts::read(b"A: 1\nB: two\n lines\nC\n\n{}\n\n");
        assert_eq!(parts.take("B").as_deref(), Some("two\nlines"));
        assert_eq!(parts.take_as::<u8>("A"), Some(1));
        assert_eq!(parts.lines, [("C".to_owned(), String::new())]);
        assert_eq!(parts.text(), "{}\n\n");
    }

    #[test]
    fn input_without_an_empty_line_has_no_body() {
        let parts = Parts::read(b"A: 1");
        assert_eq!((parts.lines.len(), parts.rest), (1, &b""[..]));
        assert!(Parts::read(b"").lines.is_empty());
        assert_eq!(Parts::read(b"\nbody").rest, b"body");
    }
}
