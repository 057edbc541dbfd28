//! Conditions on the content of an event.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::classified_message::ClassifiedMessage;

/// A condition `<path>=<value>` on the JSON of an event. The path is a JSON pointer (RFC 6901), such as
/// `/detail/eventBody/queueId`, or a `JSONPath` (RFC 9535), such as `$.detail.eventBody.participants[*].queueId`.
///
/// A text has to be equal to the value; a number, `true`, `false` or `null` has to have the value as its JSON. A path that
/// selects several values needs one of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BodyCondition {
    path: BodyPath,
    value: String,
    /// The condition as it was written.
    text: String,
}

#[derive(Clone, Debug)]
enum BodyPath {
    Pointer(String),
    JsonPath(JsonPath),
}

/// The error for a text that is not a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionFault {
    #[error("'{0}' has no value: write <path>=<value>, such as /detail/eventBody/queueId=q-1")]
    NoValue(String),
    #[error(
        "the path of '{0}' must be a JSON pointer, such as /detail/id, or a JSONPath, such as $.detail.id"
    )]
    Path(String),
}

impl FromStr for BodyCondition {
    type Err = ConditionFault;

    fn from_str(text: &str) -> Result<Self, ConditionFault> {
        let ends = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let parsed = match text.chars().next() {
            Some('/') => {
                let mut ends = ends.clone();
                ends.next().map(|(path, value)| (BodyPath::Pointer(path.to_owned()), value))
            }
            // The filters of a JSONPath contain the same character, so the path ends where it is complete.
            Some('$') => ends.clone().find_map(|(path, value)| {
                Some((BodyPath::JsonPath(JsonPath::parse(path).ok()?), value))
            }),
            Some(_) | None => None,
        };
        match parsed {
            Some((path, value)) => {
                Ok(Self { path, value: value.to_owned(), text: text.to_owned() })
            }
            None if ends.count() == 0 => Err(ConditionFault::NoValue(text.to_owned())),
            None => Err(ConditionFault::Path(text.to_owned())),
        }
    }
}

impl TryFrom<String> for BodyCondition {
    type Error = ConditionFault;

    fn try_from(text: String) -> Result<Self, ConditionFault> {
        text.parse()
    }
}

impl From<BodyCondition> for String {
    fn from(condition: BodyCondition) -> Self {
        condition.text
    }
}

impl PartialEq for BodyCondition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for BodyCondition {}

impl BodyCondition {
    fn matches(&self, document: &Value) -> bool {
        let is_equal = |found: &Value| match found {
            Value::String(text) => *text == self.value,
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                let json = found.to_string();
                json == self.value
            }
            Value::Array(_) | Value::Object(_) => false,
        };
        match &self.path {
            BodyPath::Pointer(pointer) => document.pointer(pointer).is_some_and(is_equal),
            BodyPath::JsonPath(path) => path.query(document).iter().any(|found| is_equal(found)),
        }
    }
}

/// Returns true if a message matches all conditions: in the event as it is delivered, or in the whole body of its message.
/// A text that is not JSON matches no condition.
pub(crate) fn all_match(conditions: &[BodyCondition], classified: &ClassifiedMessage<'_>) -> bool {
    if conditions.is_empty() {
        return true;
    }
    let body = classified.message.body.as_str();
    let payload = classified.event().map_or(body, |event| &event.payload);
    let texts = [Some(payload), (payload != body).then_some(body)];
    let documents = texts.into_iter().flatten();
    let documents: Vec<Value> =
        documents.filter_map(|text| serde_json::from_str(text).ok()).collect();
    let is_met = |condition: &BodyCondition| documents.iter().any(|it| condition.matches(it));
    conditions.iter().all(is_met)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn condition_compares_the_values_at_its_path() {
        let event = json!({
            "id": "e-1",
            "detail": {
                "queue": "a=b", "count": 7, "big": 12_345_678_901_234_567_u64, "on": true, "none": null,
                "people": [{ "purpose": "agent", "id": "p-1" }, { "purpose": "customer", "id": "p-2" }],
                "odd/key": "x",
            },
        });
        for (condition, expected) in [
            ("/detail/queue=a=b", true),
            ("/detail/queue=a", false),
            ("/detail/count=7", true),
            ("/detail/count=7.0", false),
            ("/detail/big=12345678901234567", true),
            ("/detail/on=true", true),
            ("/detail/none=null", true),
            ("/detail/people=", false),
            ("/detail/people/1/id=p-2", true),
            ("/detail/odd~1key=x", true),
            ("/missing=null", false),
            ("$.detail.queue=a=b", true),
            ("$.detail.people[*].id=p-2", true),
            ("$.detail.people[?@.purpose=='agent'].id=p-1", true),
            ("$.detail.people[?@.purpose=='agent'].id=p-2", false),
            ("$..id=p-1", true),
        ] {
            let parsed: Result<BodyCondition, _> = condition.parse();
            assert_eq!(parsed.map(|it| it.matches(&event)), Ok(expected), "{condition}");
        }
    }

    #[test]
    fn text_is_refused_when_it_is_not_a_condition() {
        for (text, expected) in [
            ("/detail/id", "has no value"),
            ("", "has no value"),
            ("detail.id=7", "the path of"),
            ("$.[=7", "the path of"),
        ] {
            let refused = text.parse::<BodyCondition>().map_err(|it| it.to_string());
            assert!(refused.as_ref().is_err_and(|it| it.contains(expected)), "{refused:?}");
        }
    }
}
