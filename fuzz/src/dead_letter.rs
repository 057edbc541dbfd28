//! A message of the queue, and all values that are derived from it without a call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use genesys_replay::archive::Entry;
use genesys_replay::dead_letter::{
    DeadLetter, EventId, InteractionId, ParsedMessage, UnreplayableReason, original_failure, parse,
};
use genesys_replay::destination::{AllowedTargets, Destination, MAX_TARGET_BYTES, ReplayTarget};
use genesys_replay::failure::{FailureCode, OriginalFailure};
use genesys_replay::ledger::EventKey;
use genesys_replay::message::{Message, MessageId};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::parts::Parts;
use crate::{NOW, can_be_called};

/// The queue of the messages.
const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:dead-letters";

/// The attributes of dead letters from a rule or a schedule, whose body is the payload.
const ORIGINS: [&str; 3] = ["RULE_ARN", "TARGET_ARN", "SCHEDULE_ARN"];

/// Checks a message. Lines: message attributes; the rest: the body.
///
/// # Panics
/// A part of the body is lost, the category depends on the event itself, or an id, key or document is
/// invalid at its use.
pub fn open_record(input: &[u8]) {
    let parts = Parts::read(input);
    let Some(id) = MessageId::new("590dfd22-b30f-4a63-81f8-72cbb5e782d0") else {
        return;
    };
    let mut message = Message::new(id, parts.text());
    message.attributes = parts.lines.into_iter().collect();
    message.queue_arn = Some(QUEUE.to_owned());
    let opened = parse(&message);
    assert_eq!(parse(&message), opened, "the same every time");
    match &opened {
        ParsedMessage::DeadLetter(dead_letter) => {
            payload_is_part_of_the_body(&message, dead_letter);
            category_ignores_the_event(&message, dead_letter);
            ids_fit(dead_letter);
            let destination = destination(dead_letter);
            let key = key(&message, dead_letter, &destination);
            archived(&message, Some(dead_letter), &key, &destination, FailureCode::Exhausted);
        }
        ParsedMessage::Unreplayable(why) => {
            every_event_is_parsed(&message, why);
            let destination = Destination::Missing;
            let key = EventKey::new(None, &message.id, &destination);
            archived(&message, None, &key, &destination, why.failure_code());
        }
    }
}

/// Returns whether the attributes are those of a rule or a schedule.
fn is_from_rule(message: &Message) -> bool {
    let mut origins = ORIGINS.iter().filter_map(|name| message.attribute(name));
    origins.any(|value| !value.is_empty())
}

fn every_event_is_parsed(message: &Message, why: &UnreplayableReason) {
    match why {
        UnreplayableReason::CustomBusRecord => return,
        UnreplayableReason::Truncated => {
            let said = message.attribute("IS_PAYLOAD_TRUNCATED").unwrap_or_default();
            assert!(said.trim().eq_ignore_ascii_case("true"), "{said:?}");
            return;
        }
        UnreplayableReason::Offloaded(pointer) => {
            let shown = pointer.to_string();
            assert!(shown.starts_with("s3://") && !shown.contains(char::is_control), "{shown:?}");
            return;
        }
        UnreplayableReason::Webhook(malformed) => {
            assert!(!is_from_rule(message), "{why:?}");
            let said = (message.attribute("Origin"), message.attribute("Malformed"));
            let exchange = (Some("ingest/webhook"), Some(malformed.as_str()));
            assert_eq!(said, exchange, "ingest has said so");
            return;
        }
        UnreplayableReason::Empty
        | UnreplayableReason::NotJson
        | UnreplayableReason::UnknownShape
        | UnreplayableReason::NestedTooDeep
        | UnreplayableReason::EmptyWrapper
        | UnreplayableReason::Encrypted => assert!(!is_from_rule(message), "{why:?}"),
    }
    let members: BTreeMap<String, Value> = serde_json::from_str(&message.body).unwrap_or_default();
    let is_notification = members.get("Type").is_some_and(|it| it == "Notification")
        && members.contains_key("TopicArn")
        && members.get("Message").is_some_and(Value::is_string);
    if is_notification && *why != UnreplayableReason::NestedTooDeep {
        let bare = parse(&inner(message)) == ParsedMessage::Unreplayable(why.clone());
        assert!(bare, "{why:?}, although it contains an event");
    }
}

/// Returns the byte offset of a slice in its text. `None`: it is not a slice of the text.
fn position(piece: &str, text: &str) -> Option<usize> {
    let at = (piece.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (text.get(at..at + piece.len())? == piece).then_some(at)
}

/// Returns the inner text of an SNS notification.
fn inner_text(body: &str) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(body).ok()?;
    serde_json::from_str(members.get("Message")?.get()).ok()
}

/// Returns the inner message of an SNS notification.
fn inner(message: &Message) -> Message {
    let text = inner_text(&message.body);
    assert!(text.is_some(), "a payload that stands nowhere");
    Message::new(message.id.clone(), text.unwrap_or_default())
}

/// Returns true if the payload is a text of the call's parameters: the content of a string, or the text of another value.
fn is_in_call(parameters: &Value, payload: &str) -> bool {
    match parameters {
        Value::String(text) => text == payload,
        Value::Object(members) => members.values().any(|value| is_in_call(value, payload)),
        Value::Array(values) => values.iter().any(|value| is_in_call(value, payload)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn payload_is_part_of_the_body(message: &Message, dead_letter: &DeadLetter<'_>) {
    if dead_letter.call.is_some() {
        let body = message.body.trim_start_matches('\u{feff}');
        let parameters = serde_json::from_str(body).unwrap_or_default();
        let payload = &*dead_letter.payload;
        let is_default = payload == "{}";
        assert!(is_default || body.contains(payload) || is_in_call(&parameters, payload));
        return;
    }
    match &dead_letter.payload {
        Cow::Borrowed(payload) => {
            assert!(position(payload, &message.body).is_some(), "a piece of the body");
        }
        Cow::Owned(payload) => {
            let inner = inner(message);
            assert!(inner.body.contains(&**payload) || inner_text(&inner.body).is_some());
        }
    }
    if is_from_rule(message) {
        assert_eq!(dead_letter.payload, message.body, "all that the target would get");
    }
}

fn category_ignores_the_event(message: &Message, dead_letter: &DeadLetter<'_>) {
    let told = &dead_letter.failure;
    if dead_letter.call.is_some() {
        assert_eq!(told.category(), original_failure(message).category());
        return;
    }
    let Cow::Borrowed(payload) = dead_letter.payload else {
        // The attributes are about the notification, not about its inner message.
        let inner = inner(message);
        match parse(&inner) {
            ParsedMessage::DeadLetter(bare) => {
                assert_eq!(*bare, *dead_letter, "as without the envelope");
            }
            ParsedMessage::Unreplayable(why) => {
                assert_eq!(None, Some(why), "an event inside a notification");
            }
        }
        return;
    };
    if payload.len() < message.body.len() {
        let at = position(payload, &message.body).unwrap_or_default();
        let mut other = message.clone();
        other.body.replace_range(at..at + payload.len(), "{}");
        match parse(&other) {
            ParsedMessage::DeadLetter(other) => {
                assert_eq!(other.payload, "{}");
                assert_eq!(other.failure, *told, "independent of the envelope");
            }
            ParsedMessage::Unreplayable(why) => {
                assert_eq!(None, Some(why), "the envelope is the same");
            }
        }
        return;
    }
    let attribute = |name| message.attribute(name).filter(|text| !text.is_empty());
    let around = original_failure(message);
    assert_eq!(told.rule_arn, around.rule_arn);
    assert_eq!(told.target_arn, around.target_arn);
    let code = told.error_code.as_deref();
    assert!(
        code.is_none() || [attribute("ERROR_CODE"), attribute("ErrorCode")].contains(&code),
        "{code:?}"
    );
    let said = told.error_message.as_deref();
    let by_attribute = [attribute("ERROR_MESSAGE"), attribute("ErrorMessage")].contains(&said);
    assert!(
        said.is_none() || by_attribute || beside_an_interaction(&message.body).as_deref() == said,
        "{said:?}"
    );
}

/// Returns the `errorMessage` beside `detail`. A whole event has none.
fn beside_an_interaction(body: &str) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(body).ok()?;
    let whole = ["detail-type", "source", "detail"].iter().all(|name| members.contains_key(*name));
    let text = members.get("errorMessage").filter(|_| !whole)?;
    serde_json::from_str(text.get()).ok()
}

fn ids_fit(dead_letter: &DeadLetter<'_>) {
    if let Some(id) = &dead_letter.event_id {
        assert_eq!(EventId::new(id.as_str()).as_ref(), Some(id));
    }
    if let Some(interaction) = &dead_letter.interaction {
        let id = &interaction.id;
        assert_eq!(InteractionId::new(id.as_str()).as_ref(), Some(id));
        let path = format!("https://api.example/{id}");
        let url = url::Url::parse(&path).map(String::from);
        assert_eq!(url, Ok(path), "a separate segment");
    }
}

fn destination(dead_letter: &DeadLetter<'_>) -> Destination {
    let target = ReplayTarget::original(AllowedTargets::Any);
    let destination = target.destination(dead_letter.failure.target_arn.as_deref(), &[QUEUE]);
    assert!(
        !can_be_called(&destination) || destination.key_part() != QUEUE,
        "returned to its original queue"
    );
    destination
}

fn key(message: &Message, dead_letter: &DeadLetter<'_>, destination: &Destination) -> EventKey {
    let key = EventKey::new(dead_letter.event_id.as_ref(), &message.id, destination);
    let text = key.as_str();
    assert!(text.len() <= 256 + 1 + MAX_TARGET_BYTES, "{} bytes", text.len());
    let id = dead_letter.event_id.as_ref().map_or(message.id.as_str(), EventId::as_str);
    assert_eq!(text, format!("{id}|{}", destination.key_part()));
    // An unsupported target keeps the name of the dead letter.
    assert!(
        !can_be_called(destination) || text.bytes().all(|byte| byte.is_ascii_graphic()),
        "a header: {text:?}"
    );
    assert_eq!(key.digest().len(), 64);
    key
}

fn archived(
    message: &Message,
    dead_letter: Option<&DeadLetter<'_>>,
    key: &EventKey,
    destination: &Destination,
    code: FailureCode,
) {
    let original: OriginalFailure = dead_letter
        .map_or_else(|| original_failure(message), |dead_letter| dead_letter.failure.clone());
    let event_id = dead_letter.and_then(|dead_letter| dead_letter.event_id.as_ref());
    let entry = Entry {
        message,
        key,
        event_id: event_id.map_or(message.id.as_str(), EventId::as_str),
        event_type: dead_letter.and_then(|dead_letter| dead_letter.event_type.as_deref()),
        interaction_id: dead_letter
            .and_then(|dead_letter| dead_letter.interaction.as_ref())
            .map(|interaction| interaction.id.as_str()),
        original: &original,
        target: destination.key_part(),
        code,
        reason: code.what_to_do(),
        attempts: 3,
        first_seen: NOW,
        now: NOW,
    };
    let document: Value = serde_json::from_str(&entry.document()).unwrap_or_default();
    let member = if message.is_base64() { "body_base64" } else { "body" };
    assert_eq!(document[member], *message.body, "kept as it stood");
    let attributes = document["attributes"].as_object();
    assert_eq!(attributes.map(serde_json::Map::len), Some(message.attributes.len()));
    for (name, value) in &message.attributes {
        assert_eq!(document["attributes"][name], **value, "{name}");
    }
    assert_eq!(document["category"], original.category().as_str());
    object_key_is_safe(&entry.object_key(), code);
}

fn object_key_is_safe(key: &str, code: FailureCode) {
    // The key also has a prefix of at most 256 bytes and a dash with 16 digits.
    assert!(256 + 17 + key.len() <= 1_024, "{key}");
    let parts: Vec<_> = key.split('/').collect();
    assert_eq!(parts.len(), 3, "{key}");
    assert_eq!(parts.get(1), Some(&code.as_str()));
    for part in parts {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(part.bytes().all(safe), "{key}");
        assert!(part.bytes().any(|byte| byte != b'.'), "{key}");
    }
}
