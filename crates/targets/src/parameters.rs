//! The values of HTTP parameters, which a rule may take from the event.

use std::sync::OnceLock;

use genesys_replay::failure::FailureCode;
use genesys_replay::target::DeliveryError;
use serde_json::Value;

/// Members that every event has as `EventBridge` delivers it.
const EVENT_MEMBERS: [&str; 4] = ["id", "source", "detail-type", "detail"];

/// The source of the values: the payload, if it is the original event.
pub struct EventValues<'p> {
    payload: &'p str,
    /// Parsed at the first path.
    event: OnceLock<Option<Value>>,
}

impl<'p> EventValues<'p> {
    /// Creates the source of an event with this payload.
    #[must_use]
    pub const fn new(payload: &'p str) -> Self {
        Self { payload, event: OnceLock::new() }
    }

    /// Returns the value of a parameter: the text itself, or, if it is a JSON path, the value in the event. As in
    /// `EventBridge`, a path without a match has an empty value, and lists and objects lose their quotes.
    ///
    /// # Errors
    /// `TARGET_PARAMETERS_UNKNOWN`: the payload is not the original event, or the path has a wildcard.
    pub fn of(&self, text: &str) -> Result<String, DeliveryError> {
        let Some(steps) = steps(text) else {
            return Ok(text.to_owned());
        };
        if steps.contains(&Step::Wildcard) {
            return Err(unknown(format!("the JSON path {text} is not supported")));
        }
        let event = self.event.get_or_init(|| original_event(self.payload));
        let Some(event) = event else {
            return Err(unknown(format!(
                "the parameter {text} needs the original event, and the payload is not one"
            )));
        };
        let found = steps.iter().try_fold(event, |value, step| match step {
            Step::Member(name) => value.as_object()?.get(*name),
            Step::Item(index) => value.as_array()?.get(*index),
            Step::Wildcard => None,
        });
        Ok(match found {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string().replace('"', ""),
        })
    }
}

/// Returns the error for a parameter that cannot be computed.
pub(crate) fn unknown(reason: String) -> DeliveryError {
    DeliveryError::never(FailureCode::TargetParametersUnknown, reason)
}

/// Returns the event if the payload is one, as opposed to a transformed input.
fn original_event(payload: &str) -> Option<Value> {
    let event: Value = serde_json::from_str(payload).ok()?;
    let members = event.as_object()?;
    EVENT_MEMBERS.iter().all(|name| members.contains_key(*name)).then_some(event)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'t> {
    Member(&'t str),
    Item(usize),
    Wildcard,
}

/// Returns the steps of a JSON path of `EventBridge`: `$`, then `.name`, `[0]`, `.*` or `[*]`. Returns `None` for any other
/// text, which is a fixed value.
fn steps(text: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_/*-".contains(c);
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            steps.push(match name {
                "" => return None,
                "*" => Step::Wildcard,
                name => Step::Member(name),
            });
            rest = after;
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(if index == "*" {
                Step::Wildcard
            } else {
                let is_number = !index.is_empty() && index.bytes().all(|it| it.is_ascii_digit());
                Step::Item(is_number.then(|| index.parse().ok()).flatten()?)
            });
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"id":"e-1","source":"s","detail-type":"t","detail":{"n":7,"l":["a",{"b":true}],"z":null}}"#;

    fn value(payload: &str, text: &str) -> Result<String, String> {
        EventValues::new(payload).of(text).map_err(|error| error.reason)
    }

    #[test]
    fn parameter_has_the_value_of_its_path_in_the_event() {
        for (text, expected) in [
            ("fixed", "fixed"),
            ("", ""),
            ("$5", "$5"),
            ("$.", "$."),
            ("$.a b", "$.a b"),
            ("$[x]", "$[x]"),
            ("prefix $.id", "prefix $.id"),
            ("$.id", "e-1"),
            ("$.detail-type", "t"),
            ("$.detail.n", "7"),
            ("$.detail.l[0]", "a"),
            ("$.detail.l[1].b", "true"),
            ("$.detail.l[1]", "{b:true}"),
            ("$.detail.z", "null"),
            ("$.detail.l[9]", ""),
            ("$.detail.missing.deeper", ""),
        ] {
            assert_eq!(value(EVENT, text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn parameter_is_unknown_when_the_payload_is_transformed() {
        for payload in [r#"{"id":"e-1","detail":{}}"#, "\"text\"", "not JSON", "[]"] {
            let fault = value(payload, "$.id").err();
            let expected =
                "the parameter $.id needs the original event, and the payload is not one";
            assert_eq!(fault.as_deref(), Some(expected), "{payload}");
            assert_eq!(value(payload, "fixed"), Ok("fixed".to_owned()));
        }
        let fault = value(EVENT, "$.detail.l[*].b").err();
        assert_eq!(fault.as_deref(), Some("the JSON path $.detail.l[*].b is not supported"));
    }
}
