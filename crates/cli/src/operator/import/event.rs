//! A failed event in the form of the legacy sample API.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Category, FailureCode};
use serde_json::value::RawValue;

/// A failed event, before any check of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailedEvent {
    pub(super) id: Option<String>,
    pub(super) failure_code: Option<String>,
    /// The failure in words.
    pub(super) failure_reason: Option<String>,
    pub(super) stack_trace: Option<String>,
    /// A text that a diagnosis did not use as evidence, for example because the target's own code wrote it. It is shown to
    /// people.
    pub(super) unused_text: Option<String>,
    pub(super) event_type: Option<String>,
    /// The target that failed, if the source names it by an ARN.
    pub(super) target_arn: Option<String>,
    /// The time of the failure.
    pub(super) time: Option<Timestamp>,
    /// The payload to deliver, or the reason why it cannot be used.
    pub(super) payload: Result<String, Unusable>,
}

/// The reason why a failed event cannot be queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("not a failed event: a JSON object is expected")]
    NoObject,
    #[error("the payload is missing")]
    NoPayload,
    /// The payload cannot be delivered unchanged.
    #[error("the payload is binary: base64, or declared as such")]
    Binary,
    #[error("the payload has characters that SQS rejects")]
    NotQueueable,
    /// The size of the message and the limit of the queue, in bytes.
    #[error("the message would have {0} bytes, and the queue accepts {1} (MaximumMessageSize)")]
    TooLong(usize, usize),
    #[error(
        "with the event's id, the message has more than 10 attributes, which SQS does not accept: remove one that the target does not need"
    )]
    TooManyAttributes,
    /// Without a target, the function accepts only payloads of a known shape.
    #[error(
        "the function does not support the shape of the payload; with --target-arn it delivers the payload unchanged"
    )]
    UnknownShape,
    /// A diagnosis lists such messages too.
    #[error("the message is not an event that can be replayed: {0}")]
    NotReplayable(FailureCode),
    #[error("the function would not replay the event: {0}")]
    UnreplayableReason(genesys_replay::dead_letter::UnreplayableReason),
    #[error(
        "an event with the same id and target, and another payload, is before it: correct the id of one of them, or import the right payload alone"
    )]
    OtherPayload,
    #[error("the event was not queued: {0}")]
    NotQueued(String),
    /// The source has something else at this place.
    #[error("{0}")]
    UnknownFormat(String),
}

impl FailedEvent {
    /// Reads the text of a failed event.
    pub(super) fn read(text: &str) -> Result<Self, Unusable> {
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| Unusable::NoObject)?;
        // The first name that is present counts.
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
        let known = |names: &[&str]| text(names).filter(|text| !is_placeholder(text));
        let event = Self {
            id: known(&["event_id", "eventId", "id"]),
            failure_code: text(&["failure_code", "failureCode"]),
            failure_reason: text(&["failure_reason", "failureReason"]),
            stack_trace: text(&["stack_trace", "stackTrace"]),
            unused_text: None,
            event_type: known(&["event_type", "eventType"]),
            target_arn: None,
            time: text(TIMES).and_then(|time| Timestamp::parse_lenient(&time)),
            payload: match raw(&["original_payload", "originalPayload", "payload"]) {
                _ if binary => Err(Unusable::Binary),
                None => Err(Unusable::NoPayload),
                Some(raw) => payload(raw),
            },
        };
        let Some(payload) = raw(&["replayPayload"]) else {
            return Ok(event);
        };
        // A record of a diagnosis. Its failure code is the function's, not that of the first failure.
        let code = event.failure_code.as_deref().and_then(FailureCode::parse);
        let category = text(&["failureCategory"]);
        let said = text(&["errorMessage"]);
        let is_evidence = category.as_deref() != Some(Category::Unknown.as_str());
        let (failure_reason, unused_text) = if is_evidence { (said, None) } else { (None, said) };
        Ok(Self {
            failure_reason,
            unused_text,
            failure_code: text(&["errorCode"]).or_else(|| known_category(category?)),
            target_arn: text(&["replayEndpoint"]).filter(|target| target.starts_with("arn:")),
            payload: match code.filter(|code| code.is_without_event()) {
                Some(code) => Err(Unusable::NotReplayable(code)),
                None if binary => Err(Unusable::Binary),
                None => whole_text(payload),
            },
            ..event
        })
    }
}

/// The members with the time of a failure, in the order in which they are read.
const TIMES: &[&str] = &[
    "failed_at",
    "failedAt",
    "failure_time",
    "failureTime",
    "timestamp",
    "created_at",
    "createdAt",
    "dateCreated",
    "archived_at",
    "archivedAt",
];

/// Returns true for the text of a missing id or type. The seed tutorials write `unknown`.
fn is_placeholder(text: &str) -> bool {
    ["unknown", "n/a", "none", "null", "undefined", "-"]
        .iter()
        .any(|placeholder| text.trim().eq_ignore_ascii_case(placeholder))
}

/// Returns a category that a diagnosis recorded; `None` if it says nothing.
fn known_category(category: String) -> Option<String> {
    (category != Category::Unknown.as_str()).then_some(category)
}

/// Returns the payload of a diagnosis: the content of a string in any form, or the text of another JSON value.
fn whole_text(raw: &str) -> Result<String, Unusable> {
    let text = serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned());
    (!text.trim().is_empty()).then_some(text).ok_or(Unusable::NoPayload)
}

/// Returns the payload byte for byte. A payload that was written as a JSON string is the content of that string.
fn payload(raw: &str) -> Result<String, Unusable> {
    if !raw.starts_with('"') {
        // The seed tutorials write `{}` if there is no payload.
        let is_empty =
            raw.strip_prefix('{').is_some_and(|rest| rest.trim_end_matches('}').trim().is_empty());
        return (!is_empty).then(|| raw.to_owned()).ok_or(Unusable::NoPayload);
    }
    let text: String = serde_json::from_str(raw).map_err(|_| Unusable::Binary)?;
    if text.trim().is_empty() {
        return Err(Unusable::NoPayload);
    }
    // A short text may be both: `orders/1` is a text.
    let may_be_base64 = text.ends_with('=') || text.len() >= 24 && text.contains(['+', '/']);
    let is_base64 = may_be_base64 && BASE64_STANDARD.decode(&text).is_ok();
    (!is_base64).then_some(text).ok_or(Unusable::Binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload_of(text: &str) -> Result<String, Unusable> {
        FailedEvent::read(text)?.payload
    }

    #[test]
    fn failed_event_is_read_with_every_spelling_of_a_member() {
        for text in [
            r#"{"id":"e-1","failure_code":"503","failure_reason":"r","stack_trace":"s","payload":{"a":1}}"#,
            r#"{"event_id":"e-1","failure_code":503,"failure_reason":"r","stack_trace":"s","original_payload":{"a":1}}"#,
            r#"{"eventId":"e-1","failureCode":"503","failureReason":"r","stackTrace":"s","originalPayload":{"a":1},"id":"record"}"#,
        ] {
            let expected = FailedEvent {
                id: Some("e-1".to_owned()),
                failure_code: Some("503".to_owned()),
                failure_reason: Some("r".to_owned()),
                stack_trace: Some("s".to_owned()),
                unused_text: None,
                event_type: None,
                target_arn: None,
                time: None,
                payload: Ok(r#"{"a":1}"#.to_owned()),
            };
            assert_eq!(FailedEvent::read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn failed_event_payload_is_unchanged() {
        for (text, expected) in [
            (r#"{"payload":{"b": 1.0,  "a":"\u00e9"}}"#, r#"{"b": 1.0,  "a":"\u00e9"}"#),
            (r#"{"payload":"{\"b\": 1.0}"}"#, r#"{"b": 1.0}"#),
            (r#"{"payload":[1, 2]}"#, "[1, 2]"),
            (r#"{"payload":"\ufeff{\"a\":1}"}"#, "\u{feff}{\"a\":1}"),
            (r#"{"payload":"<order/>"}"#, "<order/>"),
            (r#"{"payload":"7"}"#, "7"),
            (r#"{"payload":"ping"}"#, "ping"),
            (r#"{"payload":"orders/1"}"#, "orders/1"),
        ] {
            assert_eq!(payload_of(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn failed_event_payload_is_refused_when_not_deliverable() {
        for (expected, texts) in [
            (
                Unusable::NoPayload,
                &["{}", r#"{"payload":null}"#, r#"{"payload":{}}"#, r#"{"payload":" "}"#][..],
            ),
            (
                Unusable::Binary,
                &[
                    r#"{"payload":"AAECAwQ="}"#,
                    r#"{"payload":"eyJhIjoxfQ==","payload_encoding":"base64"}"#,
                    r#"{"payload":{"a":1},"isBase64Encoded":true}"#,
                ],
            ),
            (Unusable::NoObject, &["[]", "7", "{"]),
        ] {
            for text in texts {
                assert_eq!(payload_of(text), Err(expected.clone()), "{text}");
            }
        }
    }

    #[test]
    fn failed_event_id_is_ignored_when_unknown() {
        let id = |text| FailedEvent::read(text).map(|event| event.id);
        assert_eq!(id(r#"{"event_id":"unknown"}"#), Ok(None));
        assert_eq!(id(r#"{"event_id":"N/A"}"#), Ok(None));
        assert_eq!(id(r#"{"event_id":""}"#), Ok(None));
        let other = id(r#"{"event_id":null,"id":"e-1"}"#);
        assert_eq!(other, Ok(Some("e-1".to_owned())));
    }
}
