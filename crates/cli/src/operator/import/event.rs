//! A failed event in the form of the legacy sample API.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A failed event, before any check of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedEvent {
    /// The event's id, if it has one.
    pub id: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The failure code.
    pub failure_code: Option<String>,
    /// The failure in words.
    pub failure_reason: Option<String>,
    /// The stack trace of the failure.
    pub stack_trace: Option<String>,
    /// The payload to deliver, or the reason why it cannot be used.
    pub payload: Result<String, Unusable>,
}

/// The reason why a failed event cannot be queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The text is not a JSON object.
    #[error("it is no failed event: a JSON object is expected")]
    NoObject,
    /// The event has no payload.
    #[error("it has no payload")]
    NoPayload,
    /// The payload cannot be delivered unchanged.
    #[error("its payload is binary, or a text that is not JSON")]
    Binary,
    /// The payload has characters that SQS rejects.
    #[error("its payload has characters that SQS does not take")]
    NotQueueable,
    /// The message would be longer than SQS allows; its length in bytes.
    #[error("it makes a message of {0} bytes, and SQS takes 1 MiB")]
    TooLong(usize),
    /// The message would have more than ten attributes.
    #[error("it has more attributes than a message can carry")]
    TooManyAttributes,
    /// The payload has no known shape. Without a target, the function accepts only known shapes.
    #[error(
        "its payload has no shape that the function knows: with --target-arn it is delivered as it stands"
    )]
    UnknownShape,
    /// The function would not accept the message as an event.
    #[error("the function would not replay it: {0}")]
    UnreplayableReason(genesys_replay::dead_letter::UnreplayableReason),
    /// The queue did not accept the message.
    #[error("it was not queued: {0}")]
    NotQueued(String),
    /// The source has something else at this place.
    #[error("{0}")]
    Foreign(String),
}

/// The names of each member; the first one that is present counts.
const IDS: &[&str] = &["event_id", "eventId", "id"];
const PAYLOADS: &[&str] = &["original_payload", "originalPayload", "payload"];

impl FailedEvent {
    /// Reads the text of a failed event.
    ///
    /// # Errors
    /// [`Unusable::NoObject`] if the text is not a JSON object.
    pub fn read(text: &str) -> Result<Self, Unusable> {
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| Unusable::NoObject)?;
        let raw = |names: &[&str]| {
            let found = names.iter().filter_map(|name| members.get(*name));
            found.map(|raw| raw.get()).find(|raw| *raw != "null")
        };
        // Accept a number in place of a text, with its digits as the text.
        let text = |names: &[&str]| {
            let raw = raw(names)?;
            let text: String = serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned());
            (!text.is_empty()).then_some(text)
        };
        let is_base64 = |names: &[&str], word: &str| raw(names).is_some_and(|it| it == word);
        let binary = is_base64(&["payload_encoding", "payloadEncoding"], "\"base64\"")
            || is_base64(&["is_base64_encoded", "isBase64Encoded"], "true");
        Ok(Self {
            // The seed tutorials write `unknown` if there is no id.
            id: text(IDS).filter(|id| id != "unknown"),
            event_type: text(&["event_type", "eventType"]),
            failure_code: text(&["failure_code", "failureCode"]),
            failure_reason: text(&["failure_reason", "failureReason"]),
            stack_trace: text(&["stack_trace", "stackTrace"]),
            payload: match raw(PAYLOADS) {
                _ if binary => Err(Unusable::Binary),
                None => Err(Unusable::NoPayload),
                Some(raw) => payload(raw),
            },
        })
    }
}

/// Returns the payload byte for byte. A payload that was written as a JSON string is the content of that string.
fn payload(raw: &str) -> Result<String, Unusable> {
    if !raw.starts_with('"') {
        // The seed tutorials write `{}` if there is no payload.
        let is_empty = raw
            .strip_prefix('{')
            .is_some_and(|rest| rest.trim_end_matches('}').trim().is_empty());
        return if is_empty {
            Err(Unusable::NoPayload)
        } else {
            Ok(raw.to_owned())
        };
    }
    let text: String = serde_json::from_str(raw).map_err(|_| Unusable::Binary)?;
    if text.trim().is_empty() {
        return Err(Unusable::NoPayload);
    }
    let is_json = text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<&RawValue>(&text).is_ok();
    if is_json {
        Ok(text)
    } else {
        Err(Unusable::Binary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload_of(text: &str) -> Result<String, Unusable> {
        FailedEvent::read(text)?.payload
    }

    #[test]
    fn every_spelling_of_a_member_is_known() {
        for text in [
            r#"{"id":"e-1","event_type":"t","failure_code":"503","failure_reason":"r","stack_trace":"s","payload":{"a":1}}"#,
            r#"{"event_id":"e-1","event_type":"t","failure_code":503,"failure_reason":"r","stack_trace":"s","original_payload":{"a":1}}"#,
            r#"{"eventId":"e-1","eventType":"t","failureCode":"503","failureReason":"r","stackTrace":"s","originalPayload":{"a":1},"id":"record"}"#,
        ] {
            let expected = FailedEvent {
                id: Some("e-1".to_owned()),
                event_type: Some("t".to_owned()),
                failure_code: Some("503".to_owned()),
                failure_reason: Some("r".to_owned()),
                stack_trace: Some("s".to_owned()),
                payload: Ok(r#"{"a":1}"#.to_owned()),
            };
            assert_eq!(FailedEvent::read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_payload_stays_as_it_stands() {
        for (text, expected) in [
            (
                r#"{"payload":{"b": 1.0,  "a":"\u00e9"}}"#,
                r#"{"b": 1.0,  "a":"\u00e9"}"#,
            ),
            (r#"{"payload":"{\"b\": 1.0}"}"#, r#"{"b": 1.0}"#),
            (r#"{"payload":[1, 2]}"#, "[1, 2]"),
        ] {
            assert_eq!(payload_of(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_delivered_as_it_was_is_told_apart() {
        for (text, expected) in [
            ("{}", Unusable::NoPayload),
            (r#"{"payload":null}"#, Unusable::NoPayload),
            (r#"{"payload":{}}"#, Unusable::NoPayload),
            (r#"{"payload":" "}"#, Unusable::NoPayload),
            (r#"{"payload":"AAECAwQ="}"#, Unusable::Binary),
            (
                r#"{"payload":"eyJhIjoxfQ==","payload_encoding":"base64"}"#,
                Unusable::Binary,
            ),
            (
                r#"{"payload":{"a":1},"isBase64Encoded":true}"#,
                Unusable::Binary,
            ),
            ("[]", Unusable::NoObject),
            ("7", Unusable::NoObject),
            ("{", Unusable::NoObject),
        ] {
            assert_eq!(payload_of(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_id_that_says_that_there_is_none_is_none() {
        let id = |text| FailedEvent::read(text).map(|event| event.id);
        assert_eq!(id(r#"{"event_id":"unknown"}"#), Ok(None));
        assert_eq!(id(r#"{"event_id":""}"#), Ok(None));
        let other = id(r#"{"event_id":null,"id":"e-1"}"#);
        assert_eq!(other, Ok(Some("e-1".to_owned())));
    }
}
