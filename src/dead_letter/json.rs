//! Reads JSON one level at a time, borrowing from the message.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::text::without_bom;

/// A message body, parsed only as far as its kind.
#[derive(Debug)]
pub(super) enum Body<'m> {
    Empty,
    NotJson,
    Object(Object<'m>),
    /// An array, a string, a number, a boolean or null.
    OtherJson,
}

impl<'m> Body<'m> {
    pub(super) fn read(body: &'m str) -> Self {
        let body = without_bom(body);
        if body.trim().is_empty() {
            return Self::Empty;
        }
        if let Some(object) = Object::read(body) {
            return Self::Object(object);
        }
        match serde_json::from_str::<&RawValue>(body) {
            Ok(_) => Self::OtherJson,
            Err(_) => Self::NotJson,
        }
    }

    pub(super) fn object(&self) -> Option<&Object<'m>> {
        match self {
            Self::Object(object) => Some(object),
            Self::Empty | Self::NotJson | Self::OtherJson => None,
        }
    }
}

/// The members of a JSON object, unparsed. If a name occurs twice, the last member counts.
#[derive(Clone, Debug)]
pub(super) struct Object<'m>(BTreeMap<String, &'m RawValue>);

impl<'m> Object<'m> {
    pub(super) fn read(text: &'m str) -> Option<Self> {
        Self::parse(text).ok()
    }

    /// Parses an object like [`read`](Self::read); the error gives the position.
    pub(super) fn parse(text: &'m str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(without_bom(text)).map(Self)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the member's raw text, byte for byte; `None` if it is absent or null.
    pub(super) fn raw(&self, name: &str) -> Option<&'m str> {
        self.0.get(name).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    /// Returns the member as a whole number; `None` if it is absent or has another type.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.0.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// Returns the member as a text: the content of a string, or the digits of a number; `None` if it is absent or has
    /// another type.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let digits = || {
            let raw = self.raw(name)?;
            serde_json::from_str::<serde_json::Number>(raw).ok().map(|_| raw.to_owned())
        };
        self.string(name).or_else(digits)
    }

    /// Returns true if a member at any depth has one of these names and one of these values. A string that
    /// contains the text of such a member counts too.
    pub(super) fn has_anywhere(&self, names: &[&str], texts: &[&str]) -> bool {
        let is_one = |text: &str| {
            let text = text.trim_start();
            texts.iter().any(|it| {
                text.strip_prefix('"').is_some_and(|text| text.starts_with(&format!("{it}\"")))
            })
        };
        let is_inside = |text: &str, name: &str| {
            let quoted = format!("\"{name}\"");
            let mut ends = text.match_indices(&quoted).map(|(at, _)| at + quoted.len());
            ends.any(|end| {
                let rest = text.get(end..).unwrap_or_default().trim_start();
                rest.strip_prefix(':').is_some_and(is_one)
            })
        };
        self.0.iter().any(|(key, raw)| {
            let raw = raw.get();
            let has_inside = |text: &str| names.iter().any(|name| is_inside(text, name));
            names.contains(&key.as_str()) && is_one(raw)
                || has_inside(raw)
                // Inside a string the quotes are escaped, inside a string of a string twice.
                || raw.contains("\\\"") && has_inside(&raw.replace('\\', ""))
        })
    }

    /// Returns the member as an object; `None` if it is absent or has another type.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.0.get(name).and_then(|raw| Self::read(raw.get()))
    }

    /// Returns the member as a string; `None` if it is absent or has another type.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_body_is_read_by_its_kind() {
        assert!(matches!(Body::read(""), Body::Empty));
        assert!(matches!(Body::read(" \n"), Body::Empty));
        assert!(matches!(Body::read("{\"half\":"), Body::NotJson));
        assert!(matches!(Body::read("<html>"), Body::NotJson));
        assert!(matches!(Body::read("{} {}"), Body::NotJson));
        assert!(matches!(Body::read("{}"), Body::Object(_)));
        for other in ["[1]", "\"text\"", "7", "true", "null"] {
            assert!(matches!(Body::read(other), Body::OtherJson), "{other}");
        }
    }

    #[test]
    fn json_member_is_found_at_any_depth() {
        for (body, expected) in [
            (r#"{"s":"on"}"#, true),
            (r#"{"a":{"b":[{"s" : "off"}]}}"#, true),
            (r#"{"a":"{\"s\":\"on\"}"}"#, true),
            (r#"{"a":"{\"b\":\"{\\\"s\\\": \\\"off\\\"}\"}"}"#, true),
            (r#"{"a":"{\"s\":\"none\"}"}"#, false),
            (r#"{"a":{"s":"none"}}"#, false),
            (r#"{"a":"s","on":1}"#, false),
            (r#"{"a":{"t":"on"}}"#, false),
            (r#"{"a":{"s":"only"}}"#, false),
        ] {
            let found = Object::read(body).map(|it| it.has_anywhere(&["s"], &["on", "off"]));
            assert_eq!(found, Some(expected), "{body}");
        }
    }

    #[test]
    fn json_member_of_the_wrong_type_is_absent() {
        let body = Body::read(r#"{"a":"x","a":"y","n":5,"o":{"p":"q"},"\u0065":"escaped"}"#);
        let object = body.object();
        let string = |name| object.and_then(|object| object.string(name));
        assert_eq!(string("a").as_deref(), Some("y"));
        assert_eq!(string("e").as_deref(), Some("escaped"));
        assert_eq!(string("n"), None);
        assert_eq!(string("o"), None);
        assert_eq!(object.and_then(|object| object.object("o")?.string("p")).as_deref(), Some("q"));
    }

    #[test]
    fn json_is_read_without_recursion_when_deeply_nested() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Body::read(&deep), Body::Object(_)));
    }
}
