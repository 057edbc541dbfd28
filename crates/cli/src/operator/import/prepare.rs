//! A failed event as a message for the replay queue.

use genesys_replay::archive::Document;
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{EventId, ParsedMessage, UnreplayableReason, parse};
use genesys_replay::destination::{Destination, ReplayTarget};
use genesys_replay::digest;
use genesys_replay::failure::{Category, OriginalFailure};
use genesys_replay::message::{Message, MessageId, imported, ingested, resent};
use genesys_replay::queue::{NewMessage, takes};

use super::event::{FailedEvent, Unusable};
use crate::operator::classified_message::ClassifiedMessage;
use crate::resend::new_message;

/// The maximum length of a failure's text, in bytes. The text is for people and for the classifier.
const MAX_REASON_BYTES: usize = 4 * 1024;

/// The maximum length of a stack trace, in bytes. It is for people only.
const MAX_TRACE_BYTES: usize = 16 * 1024;

/// A message that is ready for the queue, and the function's classification of it.
#[derive(Clone, Debug)]
pub(super) struct PreparedMessage {
    /// The identity of the event at its target, as the ledger has it; the same in every import. Two reports on different
    /// deliveries have different identities.
    pub(super) identity: String,
    /// The time of the failure, if the source names one.
    pub(super) at: Option<Timestamp>,
    pub(super) message: NewMessage,
    /// The category of the first failure, from the function's own code.
    pub(super) category: Category,
    /// True if the function has a target for the event.
    pub(super) has_target: bool,
}

impl PreparedMessage {
    /// Returns the event's id in a cursor. A repaired payload is another event there, and the ledger decides about it.
    pub(super) fn cursor_id(&self) -> String {
        format!("{} {}", self.identity, digest::short(&self.message.body))
    }
}

/// Puts a failed event into a message. `raw` is the event's original text.
pub(super) fn prepare(
    event: FailedEvent,
    raw: &str,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let body = event.payload?;
    // Without an id, the text identifies the event: equal records are one event, also in another import.
    let id = event.id.unwrap_or_else(|| digest::hexadecimal(raw));
    let code = event.failure_code.as_deref().map(|code| clean(code, MAX_REASON_BYTES));
    let reason = event.failure_reason.as_deref().map(|reason| clean(reason, MAX_REASON_BYTES));
    let trace = event.stack_trace.as_deref();
    let said = message_of(code.as_deref(), reason, trace);
    let mut message = imported_message(body)?;
    let attributes = [
        (ingested::ORIGIN, Some(imported::IMPORT.to_owned())),
        ("ERROR_CODE", code),
        ("ERROR_MESSAGE", said),
        ("TARGET_ARN", target_arn.map(str::to_owned).or(event.target_arn)),
        (imported::EVENT_TYPE, event.event_type.map(|it| clean(&it, MAX_REASON_BYTES))),
        (imported::STACK_TRACE, trace.map(|trace| clean(trace, MAX_TRACE_BYTES))),
    ];
    for (name, value) in attributes {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            message.attributes.insert(name.to_owned(), value);
        }
    }
    finish(&id, event.time, message, target)
}

/// Restores the message of an archived dead letter.
pub(super) fn prepare_archived(
    document: &Document,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let message = document.message().ok_or(Unusable::NoPayload)?;
    let at = document.archived_at();
    finish(&document.event_id, at, restored(message, target_arn)?, target)
}

/// Restores a message of a queue. The event's own id identifies it; without one, the message id.
pub(super) fn prepare_message(
    message: Message,
    target_arn: Option<&str>,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let event_id = match parse(&message) {
        ParsedMessage::DeadLetter(dead_letter) => dead_letter.event_id,
        ParsedMessage::Unreplayable(_) => None,
    };
    let id = event_id.map_or_else(|| message.id.to_string(), |id| id.as_str().to_owned());
    let sent_at = message.sent_at;
    finish(&id, sent_at, restored(message, target_arn)?, target)
}

/// Returns a message for the queue with the body and attributes of an earlier one. Attributes of an operator replay are
/// removed, because an import is not a plan of this deployment.
fn restored(message: Message, target_arn: Option<&str>) -> Result<Message, Unusable> {
    if message.is_base64() {
        return Err(Unusable::Binary);
    }
    if let Some(arn) = target_arn {
        return retargeted(message, arn);
    }
    let moved_id = message.moved_from().map(|_| message.id.to_string());
    let mut restored = imported_message(message.body)?;
    (restored.attributes, restored.typed) = (message.attributes, message.typed);
    restored.group = message.group;
    restored.attributes.retain(|name, value| {
        name != resent::PLAN && name != resent::EVENT_ID && !value.is_empty()
    });
    if let Some(id) = moved_id {
        restored.attributes.entry(resent::MESSAGE_ID.to_owned()).or_insert(id);
    }
    Ok(restored)
}

/// Returns the event of an earlier message for another target. The envelope around the event is left out, because only
/// its sender's parser would remove it.
fn retargeted(message: Message, arn: &str) -> Result<Message, Unusable> {
    let ParsedMessage::DeadLetter(dead_letter) = parse(&message) else {
        // Any payload is accepted with a target, except for a message that says that it has none.
        let mut restored = restored(message, None)?;
        restored.attributes.insert("TARGET_ARN".to_owned(), arn.to_owned());
        return Ok(restored);
    };
    let failure = &dead_letter.failure;
    let attributes = [
        (ingested::ORIGIN, Some(imported::IMPORT.to_owned())),
        ("ERROR_CODE", failure.error_code.clone()),
        // Text of the target's own code is not evidence.
        ("ERROR_MESSAGE", failure.error_message.clone().filter(|_| !failure.is_targets_text)),
        ("RULE_ARN", failure.rule_arn.clone()),
        ("TARGET_ARN", Some(arn.to_owned())),
        (imported::EVENT_TYPE, dead_letter.event_type.clone()),
        (imported::STACK_TRACE, failure.stack_trace.clone()),
    ];
    let mut retargeted = imported_message(dead_letter.payload.into_owned())?;
    retargeted.group.clone_from(&message.group);
    for (name, value) in attributes {
        retargeted.attributes.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(retargeted)
}

fn imported_message(body: String) -> Result<Message, Unusable> {
    Ok(Message::new(MessageId::new("imported").ok_or(Unusable::NoPayload)?, body))
}

fn finish(
    id: &str,
    at: Option<Timestamp>,
    mut message: Message,
    target: &ReplayTarget,
) -> Result<PreparedMessage, Unusable> {
    let key = EventId::new(id)
        .map_or_else(|| digest::hexadecimal(id), |usable| usable.as_str().to_owned());
    message.attributes.insert(resent::EVENT_ID.to_owned(), key);
    if !takes(&message.body) || !message.attributes.values().all(|value| takes(value)) {
        return Err(Unusable::NotQueueable);
    }
    let letter = ClassifiedMessage::of(&message, target);
    let report = letter.event().and_then(|event| event.report.as_ref()?.delivery_id.clone());
    let identity = format!("{} {}", letter.key, report.unwrap_or_default());
    let prepared = new_message(&message, &identity).map_err(|_| Unusable::TooManyAttributes)?;
    if let Some(why) = letter.unreplayable_reason() {
        return Err(match why {
            UnreplayableReason::UnknownShape | UnreplayableReason::NotJson => {
                Unusable::UnknownShape
            }
            UnreplayableReason::Empty
            | UnreplayableReason::NestedTooDeep
            | UnreplayableReason::EmptyWrapper
            | UnreplayableReason::CustomBusRecord
            | UnreplayableReason::Truncated
            | UnreplayableReason::Offloaded(_)
            | UnreplayableReason::Webhook(_)
            | UnreplayableReason::Encrypted => Unusable::UnreplayableReason(why),
        });
    }
    Ok(PreparedMessage {
        identity,
        at,
        category: letter.category,
        has_target: letter.destination != Destination::Missing,
        message: prepared,
    })
}

/// Returns the text of `ERROR_MESSAGE`: the reason. If only a line of the stack trace has a category, that line comes
/// first.
fn message_of(code: Option<&str>, reason: Option<String>, trace: Option<&str>) -> Option<String> {
    let category = |said: &str| {
        OriginalFailure {
            error_code: code.map(str::to_owned),
            error_message: Some(said.to_owned()),
            ..OriginalFailure::default()
        }
        .category()
    };
    if category(reason.as_deref().unwrap_or_default()) != Category::Unknown {
        return reason;
    }
    let lines = trace.unwrap_or_default().lines();
    let found = lines
        .filter(|line| !is_frame(line.trim()))
        .map(|line| clean(line.trim(), MAX_REASON_BYTES))
        .map(|line| (category(&line), line))
        .find(|(found, _)| *found != Category::Unknown);
    let Some((meant, line)) = found else {
        return reason;
    };
    let both = reason.map(|reason| format!("{line} ({reason})"));
    // Drop the reason if it changes the category of the line.
    Some(both.filter(|both| category(both) == meant).unwrap_or(line))
}

/// Returns true for a line of a stack trace that names a place in the code. Its names and numbers are not evidence.
fn is_frame(line: &str) -> bool {
    ["at ", "File \"", "from ", "in ", "...", "goroutine ", "/"]
        .iter()
        .any(|begin| line.starts_with(begin))
}

/// Returns a text that fits into an attribute: within the maximum length, and without characters that SQS rejects.
fn clean(text: &str, max_bytes: usize) -> String {
    let accepted = |letter: char| takes(letter.encode_utf8(&mut [0; 4]));
    let mut clean: String =
        text.chars().map(|letter| if accepted(letter) { letter } else { ' ' }).collect();
    clean.truncate(clean.floor_char_boundary(max_bytes));
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use genesys_replay::destination::AllowedTargets;
    use genesys_replay::failure::FailureCode;
    use genesys_replay::message::SOURCE_QUEUE;

    const NOWHERE: ReplayTarget = ReplayTarget::Fixed(Destination::None);

    fn prepared(text: &str, target_arn: Option<&str>) -> Result<PreparedMessage, Unusable> {
        prepare(FailedEvent::read(text)?, text, target_arn, &NOWHERE)
    }

    fn attribute(prepared: &PreparedMessage, name: &str) -> Option<String> {
        let attributes = &prepared.message.attributes;
        let (_, value) = attributes.iter().find(|(it, _)| it == name)?;
        value.as_text().map(str::to_owned)
    }

    #[test]
    fn category_follows_code_then_reason_then_stack_trace() -> Result<(), Unusable> {
        use Category::{EndpointUnreachable, PayloadMalformed, RateLimitExceeded, TargetMissing};
        for (category, said, failure) in [
            (
                RateLimitExceeded,
                "status 404",
                r#""failure_code":"THROTTLING","failure_reason":"status 404","stack_trace":"503""#,
            ),
            (
                TargetMissing,
                "HTTP status 404",
                r#""failure_code":"DELIVERY_FAILED","failure_reason":"HTTP status 404","stack_trace":"503""#,
            ),
            (
                EndpointUnreachable,
                "java.net.Timeout: connection timed out (it failed)",
                r#""failure_reason":"it failed","stack_trace":"at a\n  java.net.Timeout: connection timed out\nat b""#,
            ),
            (
                RateLimitExceeded,
                "status 429 (it failed with payload: x)",
                r#""failure_reason":"it failed with payload: x","stack_trace":"status 429""#,
            ),
            (PayloadMalformed, "status 422", r#""stack_trace":"status 422""#),
            (
                Category::Unknown,
                "it failed",
                r#""failure_reason":"it failed","stack_trace":"at a\nat b""#,
            ),
            (
                Category::Unknown,
                "it failed",
                r#""failure_reason":"it failed","stack_trace":"Boom: x\n\tat a.Sync.run(Sync.java:400)\n at timeout""#,
            ),
            (Category::Unknown, "", r#""failure_code":"ODD""#),
        ] {
            let text = format!(r#"{{"id":"e-1","payload":{{"interactionId":"c-1"}},{failure}}}"#);
            let made = prepared(&text, None)?;
            assert_eq!(made.category, category, "{failure}");
            let message = attribute(&made, "ERROR_MESSAGE");
            assert_eq!(message.as_deref(), Some(said).filter(|it| !it.is_empty()));
        }
        Ok(())
    }

    #[test]
    fn event_without_an_id_is_identified_by_its_text() -> Result<(), Unusable> {
        let one = prepared(r#"{"payload":{"interactionId":"c-1"}}"#, None)?;
        let same = prepared(r#"{"payload":{"interactionId":"c-1"}}"#, None)?;
        let other = prepared(r#"{"payload":{"interactionId":"c-2"}}"#, None)?;
        assert_eq!(one.identity, same.identity);
        assert_ne!(one.identity, other.identity);
        Ok(())
    }

    #[test]
    fn invalid_event_id_is_replaced_by_its_digest() -> Result<(), Unusable> {
        let made = prepared(r#"{"id":"a|b é","payload":{"interactionId":"c-1"}}"#, None)?;
        let key = attribute(&made, resent::EVENT_ID);
        assert_eq!(key, Some(digest::hexadecimal("a|b é")));
        Ok(())
    }

    #[test]
    fn event_without_a_target_needs_a_fixed_target() -> Result<(), Unusable> {
        let text = r#"{"id":"e-1","payload":{"interactionId":"c-1"}}"#;
        let original = ReplayTarget::Original(AllowedTargets::Any);
        let queue = "arn:aws:sqs:eu-central-1:271828182845:crm";
        for (arn, expected) in [(None, false), (Some(queue), true)] {
            let made = prepare(FailedEvent::read(text)?, text, arn, &original)?;
            assert_eq!(made.has_target, expected);
            assert_eq!(attribute(&made, "TARGET_ARN").as_deref(), arn);
        }
        Ok(())
    }

    #[test]
    fn event_is_refused_when_sqs_would_reject_its_message() {
        let odd = "{\"payload\":{\"interactionId\":\"c-1\",\"a\":\"\u{ffff}\"}}";
        assert_eq!(prepared(odd, None).err(), Some(Unusable::NotQueueable));
    }

    #[test]
    fn failure_text_is_cut_and_cleaned() -> Result<(), Unusable> {
        let text = format!(
            r#"{{"payload":{{"interactionId":"c-1"}},"failure_reason":"timeout\u0000{}"}}"#,
            "é".repeat(MAX_REASON_BYTES)
        );
        let said = attribute(&prepared(&text, None)?, "ERROR_MESSAGE").unwrap_or_default();
        assert!(said.starts_with("timeout é") && said.len() <= MAX_REASON_BYTES);
        Ok(())
    }

    #[test]
    fn payload_of_any_shape_is_imported_unchanged() -> Result<(), Unusable> {
        for payload in
            [r#"{"orderId": 7}"#, "[1, 2]", r#"{"eventType":"dead-letter","originalEvent":{}}"#]
        {
            let text = format!(r#"{{"id":"e-1","failure_code":"TIMEOUT","payload":{payload}}}"#);
            let made = prepared(&text, None)?;
            assert_eq!(made.message.body, payload);
            assert_eq!(made.identity, "e-1|none ", "the failure's id");
            assert!(made.has_target);
        }
        let record = r#"{"id":"e-1","payload":{"failedMessages":[],"busArn":"b"}}"#;
        assert!(matches!(prepared(record, None).err(), Some(Unusable::UnreplayableReason(_))));
        Ok(())
    }

    #[test]
    fn type_and_stack_trace_of_a_failure_are_kept() -> Result<(), Unusable> {
        let trace = "at a\n".repeat(MAX_TRACE_BYTES);
        let text = serde_json::json!({
            "id": "e-1", "event_type": "order.created", "failure_code": "HTTP_503", "stack_trace": trace,
            "failed_at": "2026-07-25T17:20:00Z", "payload": {"orderId": 7},
        });
        let made = prepared(&text.to_string(), None)?;
        assert_eq!(attribute(&made, imported::EVENT_TYPE).as_deref(), Some("order.created"));
        let kept = attribute(&made, imported::STACK_TRACE).unwrap_or_default();
        assert!(trace.starts_with(&kept) && kept.len() <= MAX_TRACE_BYTES && kept.len() > 100);
        assert_eq!(made.at, Timestamp::parse("2026-07-25T17:20:00Z"));
        let unknown = prepared(r#"{"event_type":"unknown","payload":{"a":1}}"#, None)?;
        assert_eq!(attribute(&unknown, imported::EVENT_TYPE), None);
        Ok(())
    }

    #[test]
    fn record_of_a_diagnosis_is_imported_with_its_first_failure() -> Result<(), Unusable> {
        let queue = "arn:aws:sqs:eu-central-1:271828182845:crm";
        let record = |more: &str| {
            format!(
                r#"{{"timestamp":"2026-07-25T17:20:00Z","eventType":"t","eventId":"e-1","messageId":"m-1",
                "failureCategory":"TARGET_MISSING","replayPayload":"not json","replayEndpoint":"{queue}"{more}}}"#
            )
        };
        let made = prepared(&record(r#","failureCode":"EXHAUSTED","errorCode":"TIMEOUT""#), None)?;
        assert_eq!((&*made.message.body, &*made.identity), ("not json", "e-1|none "));
        assert_eq!(made.category, Category::EndpointUnreachable);
        assert_eq!(attribute(&made, "TARGET_ARN").as_deref(), Some(queue));
        let by_category = prepared(&record(r#","failureCode":"EXHAUSTED""#), None)?;
        assert_eq!(by_category.category, Category::TargetMissing);
        let of_no_event = prepared(&record(r#","failureCode":"NOT_AN_EVENT""#), None);
        assert_eq!(of_no_event.err(), Some(Unusable::NotReplayable(FailureCode::NotAnEvent)));
        let binary = prepared(&record(r#","payloadEncoding":"base64""#), None);
        assert_eq!(binary.err(), Some(Unusable::Binary));
        Ok(())
    }

    #[test]
    fn message_of_a_queue_is_imported_with_its_attributes() -> Result<(), Unusable> {
        let mut message = imported_message("text".to_owned())?;
        message.id = MessageId::new("m-7").ok_or(Unusable::NoPayload)?;
        message.add_attributes([
            ("RULE_ARN", "String".to_owned(), Some("arn".to_owned()), None),
            (resent::PLAN, "String".to_owned(), Some("p-1".to_owned()), None),
            ("trace", "Binary".to_owned(), None, Some(vec![0, 255])),
        ]);
        let made = prepare_message(message.clone(), None, &NOWHERE)?;
        assert_eq!(made.identity, "m-7|none ", "its event has no id");
        let names: Vec<&str> = made.message.attributes.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["RULE_ARN", resent::EVENT_ID, "trace"]);
        message.body = r#"{"id":"e-1","detail-type":"t","source":"s","detail":{}}"#.to_owned();
        assert_eq!(prepare_message(message, None, &NOWHERE)?.identity, "e-1|none ");
        let bare = imported_message(r#"{"orderId":7}"#.to_owned())?;
        assert_eq!(prepare_message(bare, None, &NOWHERE).err(), Some(Unusable::UnknownShape));
        Ok(())
    }

    #[test]
    fn event_inside_an_envelope_is_imported_for_another_target() -> Result<(), Unusable> {
        let arn = "arn:aws:sqs:eu-central-1:271828182845:elsewhere";
        let event =
            r#"{"id": "e-1","detail-type":"t","source":"s","detail":{"interactionId":"i-1"}}"#;
        let lambda = serde_json::json!({
            "requestContext": {"functionArn": "arn:aws:lambda:eu-central-1:271828182845:function:f", "requestId": "r-1"},
            "requestPayload": "EVENT",
        });
        let call = serde_json::json!({
            "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/271828182845/jobs", "MessageBody": event,
        });
        let schedule = [
            ("TARGET_ARN", "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"),
            ("EXECUTION_ID", "e-1"),
        ];
        for (body, attributes) in [
            (lambda.to_string().replace("\"EVENT\"", event), &[][..]),
            (format!(r#"{{"eventType":"dead-letter","originalEvent":{event}}}"#), &[]),
            (call.to_string(), &schedule),
            (event.to_owned(), &[("TARGET_ARN", "arn:aws:sqs:eu-central-1:271828182845:a")]),
        ] {
            let mut message = imported_message(body)?;
            for (name, value) in attributes {
                message.attributes.insert((*name).to_owned(), (*value).to_owned());
            }
            let original = ReplayTarget::Original(AllowedTargets::Any);
            let made = prepare_message(message, Some(arn), &original)?;
            assert_eq!(made.message.body, event);
            assert_eq!(made.identity, format!("e-1|{arn} "));
        }
        Ok(())
    }

    #[test]
    fn event_of_two_targets_is_two_events() -> Result<(), Unusable> {
        let identity = |target: &str| {
            let mut message = imported_message("{}".to_owned())?;
            let arn = format!("arn:aws:sqs:eu-central-1:271828182845:{target}");
            message.attributes.insert("TARGET_ARN".to_owned(), arn);
            let original = ReplayTarget::Original(AllowedTargets::Any);
            Ok::<_, Unusable>(prepare_message(message, None, &original)?.identity)
        };
        assert_ne!(identity("a")?, identity("b")?);
        Ok(())
    }

    #[test]
    fn moved_message_keeps_the_id_that_its_target_gave() -> Result<(), Unusable> {
        let mut message = imported_message("{}".to_owned())?;
        message.id = MessageId::new("m-7").ok_or(Unusable::NoPayload)?;
        let source = "arn:aws:sqs:eu-central-1:271828182845:crm";
        message.attributes.insert(SOURCE_QUEUE.to_owned(), source.to_owned());
        let made = prepare_message(message, None, &NOWHERE)?;
        assert_eq!(attribute(&made, resent::MESSAGE_ID).as_deref(), Some("m-7"));
        assert_eq!(made.identity, "m-7|none m-7");
        Ok(())
    }
}
