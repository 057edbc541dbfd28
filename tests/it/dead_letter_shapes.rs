//! The parsing of messages that do not contain the whole event: schedules, pointers, and parts of events.

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{DeadLetter, EventId, ParsedMessage, UnreplayableReason, parse};
use genesys_replay::failure::{Category, FailureCode};
use genesys_replay::message::{Message, MessageId, SOURCE_QUEUE};
use genesys_test_support::{TestResult, sample};

const SCHEDULE: &str = "arn:aws:scheduler:eu-central-1:271828182845:schedule/default/nightly";
const SEND_MESSAGE: &str = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage";
const CONVERSATION: &str = "c41f3c52-5a0e-4d37-9f43-2f5f62a3a8d1";

fn message(body: &str, attributes: &[(&str, &str)]) -> Result<Message, &'static str> {
    let mut message = Message::new(MessageId::new("m-1").ok_or("id")?, body.to_owned());
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    message.attributes = attributes.collect();
    Ok(message)
}

fn first_of(name: &str) -> Result<Message, Box<dyn std::error::Error>> {
    let record = sample(name)?.records.into_iter().next().ok_or("no record")?;
    let mut message = message(&record.body.unwrap_or_default(), &[])?;
    let attributes = record.message_attributes.into_iter();
    message.attributes =
        attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect();
    Ok(message)
}

fn parsed(message: &Message) -> Result<DeadLetter<'_>, String> {
    match parse(message) {
        ParsedMessage::DeadLetter(dead_letter) => Ok(*dead_letter),
        ParsedMessage::Unreplayable(why) => Err(why.to_string()),
    }
}

fn refused(message: &Message) -> Option<FailureCode> {
    match parse(message) {
        ParsedMessage::DeadLetter(_) => None,
        ParsedMessage::Unreplayable(why) => Some(why.failure_code()),
    }
}

#[test]
fn dead_letter_of_a_schedule_has_target_and_payload() -> TestResult {
    let message = first_of("scheduler-dlq.json")?;
    let dead_letter = parsed(&message)?;
    let execution = message.attributes.get("EXECUTION_ID").map(String::as_str);
    assert_eq!(dead_letter.event_id.as_ref().map(EventId::as_str), execution);
    assert_eq!(dead_letter.payload, r#"{"job":"nightly-reconciliation","window":"PT24H"}"#);
    let target = dead_letter.failure.target_arn.as_deref();
    assert_eq!(target, Some("arn:aws:sqs:eu-central-1:271828182845:nightly-jobs"));
    assert_eq!(dead_letter.failure.category(), Category::TargetMissing);
    assert_eq!(dead_letter.report, None, "a schedule never reports on our delivery");
    Ok(())
}

#[test]
fn payload_of_a_schedule_is_read_as_an_event() -> TestResult {
    let event = r#"{"id":"e-1","detail-type":"t","source":"s","detail":{"interactionId":"i-1"}}"#;
    let call = serde_json::json!({"FunctionName": "crm", "Payload": event}).to_string();
    let lambda = "arn:aws:scheduler:::aws-sdk:lambda:invoke";
    let attributes = [("TARGET_ARN", lambda), ("SCHEDULE_ARN", SCHEDULE), ("EXECUTION_ID", "x-1")];
    let message = message(&call, &attributes)?;
    let dead_letter = parsed(&message)?;
    assert_eq!(dead_letter.payload, event);
    assert_eq!(dead_letter.event_id, EventId::new("x-1"));
    assert_eq!(dead_letter.event_type.as_deref(), Some("t"));
    assert_eq!(dead_letter.interaction.map(|it| it.id.to_string()).as_deref(), Some("i-1"));
    Ok(())
}

#[test]
fn unsupported_call_of_a_schedule_keeps_its_target() -> TestResult {
    for (action, body) in [
        ("arn:aws:scheduler:::aws-sdk:ecs:runTask", r#"{"Cluster":"c"}"#),
        (SEND_MESSAGE, r#"{"MessageBody":"b"}"#),
        (SEND_MESSAGE, "not json"),
    ] {
        let message = message(body, &[("TARGET_ARN", action), ("SCHEDULE_ARN", SCHEDULE)])?;
        let dead_letter = parsed(&message)?;
        assert_eq!(dead_letter.failure.target_arn.as_deref(), Some(action));
        assert_eq!(dead_letter.payload, body);
    }
    Ok(())
}

#[test]
fn truncated_payload_is_archived_whatever_its_body() -> TestResult {
    let sample = first_of("scheduler-dlq-truncated.json")?;
    assert_eq!(refused(&sample), Some(FailureCode::PayloadTruncated));
    for body in
        ["{\"MessageBody\":\"cut", "{}", r#"{"id":"e","detail-type":"t","source":"s","detail":{}}"#]
    {
        for (value, expected) in [
            ("true", Some(FailureCode::PayloadTruncated)),
            ("True", Some(FailureCode::PayloadTruncated)),
            ("false", None),
        ] {
            let attributes = [("TARGET_ARN", SEND_MESSAGE), ("IS_PAYLOAD_TRUNCATED", value)];
            let message = message(body, &attributes)?;
            assert_eq!(refused(&message), expected, "{value} {body}");
        }
    }
    Ok(())
}

#[test]
fn pointer_to_a_payload_is_archived_with_its_address() -> TestResult {
    let sample = first_of("offloaded-payload.json")?;
    let reason = parsed(&sample).err().ok_or("parsed")?;
    let address = "s3://crm-large-payloads/6f1a2f0c-9e1b-4d44-8d3b-5a5f0f5f7c11";
    assert!(reason.ends_with(address), "{reason}");
    let rule = [("RULE_ARN", "arn:aws:events:r:a:rule/r"), ("TARGET_ARN", "arn")];
    let pointer = r#"{"s3BucketName":"big","s3Key":"6f1a"}"#;
    for class in [
        "software.amazon.payloadoffloading.PayloadS3Pointer",
        "com.amazon.sqs.javamessaging.MessageS3Pointer",
    ] {
        let body = format!(" [ \"{class}\", {pointer} ] ");
        let notification =
            serde_json::json!({"Type":"Notification","TopicArn":"arn:aws:sns:x","Message":body});
        for (body, attributes) in [
            (body.clone(), &rule[..]),
            (body.clone(), &[]),
            (format!("\u{feff}{body}"), &rule),
            (notification.to_string(), &[]),
        ] {
            let message = message(&body, attributes)?;
            assert_eq!(refused(&message), Some(FailureCode::PayloadOffloaded), "{body}");
        }
    }
    let class = "software.amazon.payloadoffloading.PayloadS3Pointer";
    for body in [
        format!("[\"{class}\"]"),
        format!("[\"{class}\",{{}}]"),
        format!("[\"{class}\",{pointer},1]"),
        format!("[\"Other\",{pointer}]"),
        pointer.to_owned(),
    ] {
        assert_eq!(refused(&message(&body, &rule)?), None, "{body}: any JSON may be a payload");
    }
    Ok(())
}

#[test]
fn pointer_returns_to_the_queue_that_sqs_moved_it_from() -> TestResult {
    let source = "arn:aws:sqs:eu-central-1:271828182845:crm";
    let sample = first_of("offloaded-payload.json")?;
    let moved = message(&sample.body, &[(SOURCE_QUEUE, source)])?;
    let dead_letter = parsed(&moved)?;
    assert!(dead_letter.whole, "its consumer can read the pointer");
    assert_eq!(dead_letter.failure.target_arn.as_deref(), Some(source));
    let mut of_a_rule = sample;
    of_a_rule.attributes.insert(SOURCE_QUEUE.to_owned(), source.to_owned());
    assert_eq!(refused(&of_a_rule), Some(FailureCode::PayloadOffloaded), "a queue of dead letters");
    Ok(())
}

#[test]
fn record_of_a_custom_bus_is_recognised_by_its_attributes() -> TestResult {
    let arn =
        "arn:aws:events:eu-central-1:271828182845:event-busv2/orders/4k7w2m9q1x8c5v3b6n0p7r2t9";
    for name in ["BUS_ARN", "SUBSCRIBER_ARN"] {
        for body in ["{}", "not json", r#"{"failedMessages":[]}"#] {
            let message = message(body, &[(name, arn), ("TARGET_ARN", "arn")])?;
            let expected = ParsedMessage::Unreplayable(UnreplayableReason::CustomBusRecord);
            assert_eq!(parse(&message), expected, "{name} {body}");
        }
    }
    Ok(())
}

/// A topic, the body of its event, and the interaction and type of the event.
type PartCase<'c> = (&'c str, String, Option<&'c str>, Option<&'c str>);

#[test]
fn part_of_an_event_is_read_like_the_whole_event() -> TestResult {
    let queue = format!("v2.routing.queues.{CONVERSATION}.conversations");
    let detail = |topic: &str, body: &str| {
        format!(r#"{{"topicName":"{topic}","version":"2","eventBody":{body},"metadata":{{}}}}"#)
    };
    let end = format!("v2.detail.events.conversation.{CONVERSATION}.customer.end");
    let audit = format!("v2.audits.entitytype.Queue.entityid.{CONVERSATION}");
    let conversation =
        r#"{"conversationId":"c-1","participantId":"p-1","eventTime":1776520800000}"#;
    let cases: [PartCase<'_>; 5] = [
        (
            &end,
            detail(&end, conversation),
            Some("c-1"),
            Some("v2.detail.events.conversation.{id}.customer.end"),
        ),
        (
            &queue,
            detail(&queue, r#"{"id":"c-2"}"#),
            Some("c-2"),
            Some("v2.routing.queues.{id}.conversations"),
        ),
        (
            &audit,
            detail(&audit, r#"{"id":"a-1"}"#),
            None,
            Some("v2.audits.entitytype.Queue.entityid.{id}"),
        ),
        ("", conversation.to_owned(), Some("c-1"), None),
        ("", r#"{"conversationId":"c-1"}"#.to_owned(), None, None),
    ];
    for (topic, body, interaction, event_type) in &cases {
        let message = message(body, &[("RULE_ARN", "arn:aws:events:r:a:rule/r")])?;
        let dead_letter = parsed(&message)?;
        let found = dead_letter.interaction.as_ref().map(|it| it.id.as_str());
        assert_eq!(found, *interaction, "{topic}");
        assert_eq!(dead_letter.event_type.as_deref(), *event_type, "{topic}");
        assert_eq!(dead_letter.payload, *body);
        assert_eq!(dead_letter.event_id, None);
    }
    for body in [detail(&end, conversation), detail(&audit, "{}")] {
        assert_eq!(parsed(&message(&body, &[])?)?.payload, body, "without attributes");
    }
    Ok(())
}

#[test]
fn part_of_an_attribute_event_is_never_marked() -> TestResult {
    let topic = format!("v2.detail.events.conversation.{CONVERSATION}.attributes");
    let with = |attributes: &str| {
        let body = format!(
            r#"{{"conversationId":"c-1","participantId":"p-1","attributes":{attributes}}}"#
        );
        (format!(r#"{{"topicName":"{topic}","eventBody":{body}}}"#), body)
    };
    for (attributes, is_echo) in [
        (r#"{"system.retryAttempt":"1","system.retryStatus":"retrying"}"#, true),
        (r#"{"segment":"b2b"}"#, false),
    ] {
        let (detail, body) = with(attributes);
        for part in [detail, body] {
            let message = message(&part, &[("RULE_ARN", "arn:aws:events:r:a:rule/r")])?;
            let dead_letter = parsed(&message)?;
            assert_eq!(dead_letter.marked_interaction(), None, "{part}");
            assert_eq!(dead_letter.own_echo, is_echo, "{part}");
        }
    }
    Ok(())
}

#[test]
fn flat_event_has_interaction_type_and_time() -> TestResult {
    let flat = first_of("tutorial-event.json")?;
    let of_rule = message(&flat.body, &[("RULE_ARN", "arn:aws:events:r:a:rule/r")])?;
    for message in [flat, of_rule] {
        let dead_letter = parsed(&message)?;
        let interaction = dead_letter.marked_interaction().map(|it| it.id.to_string());
        assert_eq!(interaction.as_deref(), Some("9d3e5b1a-7c64-4b7e-8f0a-2d6c1e4f5a73"));
        assert_eq!(dead_letter.event_type.as_deref(), Some("conversation.end"));
        assert_eq!(dead_letter.time, Timestamp::parse("2026-04-18T14:03:44.815Z"));
    }
    Ok(())
}

#[test]
fn time_of_an_event_is_its_own_member_in_any_form() -> TestResult {
    let at = Timestamp::parse("2026-04-18T14:03:44.815Z");
    let whole = |rest: &str| {
        format!(
            r#"{{"detail-type":"t","source":"s","detail":{{"timestamp":"2026-04-18T14:03:44.815Z"}}{rest}}}"#
        )
    };
    let flat = |time: &str| format!(r#"{{"interactionId":"i-1","timestamp":{time}}}"#);
    for (body, expected) in [
        (whole(r#","time":"2026-04-18T14:03:44.815Z""#), at),
        (whole(""), None),
        (flat("1776521024815"), at),
        (flat("\"1776521024815\""), at),
        (flat("1776521024"), Some(Timestamp::from_millis(1_776_521_024_000))),
        (flat("\"yesterday\""), None),
        (flat("99999999999999999999999"), None),
        (flat("3600"), None),
        (r#"{"conversationId":"c-1","eventTime":1776521024815}"#.to_owned(), at),
    ] {
        assert_eq!(parsed(&message(&body, &[])?)?.time, expected, "{body}");
    }
    Ok(())
}

#[test]
fn flat_attribute_event_is_never_marked() -> TestResult {
    let topic = "v2.detail.events.conversation.{id}.attributes";
    let flat = format!(r#"{{"interactionId":"c-1","eventType":"{topic}","detail":{{}}}}"#);
    let bare = r#"{"interactionId":"c-1"}"#;
    for (body, attributes) in [
        (&*flat, &[][..]),
        (&*flat, &[("RULE_ARN", "arn:aws:events:r:a:rule/r")]),
        (bare, &[("Origin", "import"), ("EventType", topic)]),
    ] {
        let message = message(body, attributes)?;
        let dead_letter = parsed(&message)?;
        assert_eq!(dead_letter.event_type.as_deref(), Some(topic));
        assert_eq!(dead_letter.marked_interaction(), None, "{body}");
    }
    Ok(())
}

#[test]
fn member_of_any_payload_is_not_the_time_of_an_event() -> TestResult {
    for member in ["\"time\":30", "\"timestamp\":0", "\"timestamp\":\"2020-01-01T00:00:00Z\""] {
        let body = format!(r#"{{"orderId":7,{member}}}"#);
        let message = message(&body, &[("RULE_ARN", "arn:aws:events:r:a:rule/r")])?;
        assert_eq!(parsed(&message)?.time, None, "{body}");
    }
    Ok(())
}

#[test]
fn scheduled_event_keeps_its_source_and_type() -> TestResult {
    let entry = serde_json::json!({
        "Source": "my.app", "DetailType": "Order Event", "EventBusName": "crm",
        "Detail": r#"{"eventType":"order.created"}"#,
    });
    let call = serde_json::json!({"Entries": [entry]}).to_string();
    let put = "arn:aws:scheduler:::aws-sdk:eventbridge:putEvents";
    let message = message(&call, &[("TARGET_ARN", put), ("SCHEDULE_ARN", SCHEDULE)])?;
    let dead_letter = parsed(&message)?;
    assert_eq!(dead_letter.event_type.as_deref(), Some("Order Event"));
    let event = dead_letter.call.and_then(|call| call.event).ok_or("no event")?;
    assert_eq!((&*event.source, &*event.detail_type), ("my.app", "Order Event"));
    Ok(())
}

#[test]
fn webhook_with_an_interaction_has_the_interaction() -> TestResult {
    let body = r#"{"interactionId":"c-1","contactId":"k","timestamp":"2026-04-18T14:03:44Z"}"#;
    let message = message(body, &[])?;
    let interaction = parsed(&message)?.interaction.map(|it| it.id.to_string());
    assert_eq!(interaction.as_deref(), Some("c-1"));
    Ok(())
}
