//! Messages that are nearly valid: the samples of `events/` with random changes.

use std::collections::BTreeMap;
use std::path::Path;

use genesys_replay::message::{Message, MessageId};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// Every attribute that the parser reads, and one that it ignores.
const ATTRIBUTES: &[&str] = &[
    "RULE_ARN",
    "TARGET_ARN",
    "SCHEDULE_ARN",
    "EXECUTION_ID",
    "ERROR_CODE",
    "ERROR_MESSAGE",
    "RETRY_ATTEMPTS",
    "RequestID",
    "ErrorCode",
    "ErrorMessage",
    "WebhookId",
    "RetryCount",
    "Origin",
    "ReceiptId",
    "Malformed",
    "BodyEncoding",
    "Colour",
];

/// Values of an unexpected shape, type or length.
const ODD: &[&str] = &[
    "",
    "null",
    "{}",
    "[]",
    "\"",
    "Notification",
    "dead-letter",
    "ingest/webhook",
    "not_json",
    "base64",
    "1e999",
    "-1",
    "18446744073709551616",
    "\u{0}",
    "\\ud800",
    "é\u{202e}😀",
    "..",
    "a|b",
    "arn:aws:sqs:eu-west-1:271828182845:queue",
];

/// A message whose `Debug` shows its body when a property fails, unlike [`Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SampleMessage {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl SampleMessage {
    /// Returns the message of the queue.
    pub(crate) fn message(&self, id: &str) -> Result<Message, TestCaseError> {
        let id = MessageId::new(id).ok_or_else(|| TestCaseError::fail("an empty message id"))?;
        let mut message = Message::new(id, self.body.clone());
        message.attributes.clone_from(&self.attributes);
        Ok(message)
    }
}

/// Returns the records of all samples.
pub(crate) fn samples() -> Vec<SampleMessage> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // Sorted, so that a seed has the same records on every file system.
    paths.sort();
    paths
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter_map(|text| serde_json::from_str::<Value>(&text).ok())
        .flat_map(|batch| batch["Records"].as_array().cloned().unwrap_or_default())
        .map(|record| SampleMessage {
            body: record["body"].as_str().unwrap_or_default().to_owned(),
            attributes: record["messageAttributes"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| {
                    Some((name.clone(), value["stringValue"].as_str()?.to_owned()))
                })
                .collect(),
        })
        .collect()
}

/// Returns an unchanged sample.
pub(crate) fn sample() -> impl Strategy<Value = SampleMessage> {
    select(samples())
}

/// Returns a sample with up to four changes.
pub(crate) fn nearly_a_sample() -> impl Strategy<Value = SampleMessage> {
    (sample(), prop::collection::vec(changes(), 0..5))
        .prop_map(|(dead_letter, changes)| changes.into_iter().fold(dead_letter, changed))
}

/// Returns unusual and arbitrary texts.
pub(crate) fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![select(ODD).prop_map(str::to_owned), any::<String>()]
}

/// Returns JSON text with spaces and numbers that change in a re-serialization.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(
            &["true", "1.0", "1e999", "-0", "18446744073709551616", "\"\\u0041\\/\"", "{ }"][..]
        )
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![
            select(
                &[
                    "id",
                    "detail",
                    "detail-type",
                    "source",
                    "eventBody",
                    "conversationId",
                    "errorMessage"
                ][..]
            )
            .prop_map(str::to_owned),
            "[a-z]{1,3}",
        ];
        let member = (name, inner.clone()).prop_map(|(name, value)| format!("\"{name}\" :{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member, 0..4)
                .prop_map(|all| format!("{{ {} }}", all.join(",\n"))),
        ]
    })
}

#[derive(Clone, Debug)]
enum Change {
    /// The body ends early.
    Cut(Index),
    /// The body has additional text.
    Insert(Index, String),
    /// A member has another value.
    Value(Index, Value),
    /// A member is nested so deep that a recursion would overflow the stack.
    Deep(Index, usize),
    Attribute(&'static str, String),
    NoAttributes,
    /// The body is in another envelope.
    Notification,
    Wrapper,
    DestinationRecord,
}

fn changes() -> impl Strategy<Value = Change> {
    let value = prop_oneof![
        odd_text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(vec![Value::Null, json!({}), json!([[]]), json!(false)]),
    ];
    prop_oneof![
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), odd_text()).prop_map(|(at, text)| Change::Insert(at, text)),
        6 => (any::<Index>(), value).prop_map(|(at, value)| Change::Value(at, value)),
        1 => (any::<Index>(), 1_usize..20_000).prop_map(|(at, depth)| Change::Deep(at, depth)),
        4 => (select(ATTRIBUTES), odd_text()).prop_map(|(name, text)| Change::Attribute(name, text)),
        1 => Just(Change::NoAttributes),
        2 => Just(Change::Notification),
        1 => Just(Change::Wrapper),
        1 => Just(Change::DestinationRecord),
    ]
}

fn changed(mut dead_letter: SampleMessage, change: Change) -> SampleMessage {
    let body = &mut dead_letter.body;
    match change {
        Change::Cut(at) => body.truncate(boundary(body, at)),
        Change::Insert(at, text) => body.insert_str(boundary(body, at), &text),
        Change::Value(at, value) => *body = with_value(body, at, value),
        Change::Deep(at, depth) => {
            const HERE: &str = "deep";
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            *body = with_value(body, at, HERE.into()).replace(&format!("\"{HERE}\""), &deep);
        }
        Change::Attribute(name, text) => {
            dead_letter.attributes.insert(name.to_owned(), text);
        }
        Change::NoAttributes => dead_letter.attributes.clear(),
        Change::Notification => {
            *body = json!({"Type": "Notification", "TopicArn": "arn", "Message": body}).to_string();
        }
        Change::Wrapper => {
            *body = format!(r#"{{"eventType":"dead-letter","originalEvent":{body}}}"#);
        }
        Change::DestinationRecord => {
            *body =
                format!(r#"{{"requestContext":{{"functionArn":"arn"}},"requestPayload":{body}}}"#);
        }
    }
    dead_letter
}

fn boundary(text: &str, at: Index) -> usize {
    let mut at = at.index(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Replaces the value at a position of the JSON. Invalid JSON stays unchanged.
fn with_value(text: &str, at: Index, new: Value) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let mut left = at.index(count(&value));
    if let Some(place) = nth(&mut value, &mut left) {
        *place = new;
    }
    value.to_string()
}

fn count(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    1 + inner
}

/// Returns the value after `left` others, from the outside in.
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(members) => members.values_mut().find_map(|member| nth(member, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[test]
fn samples_are_read() {
    let samples = samples();
    assert!(samples.len() >= 20, "{}", samples.len());
    let with_attributes =
        |dead_letter: &&SampleMessage| dead_letter.attributes.contains_key("TARGET_ARN");
    assert!(samples.iter().filter(with_attributes).count() >= 5);
}
