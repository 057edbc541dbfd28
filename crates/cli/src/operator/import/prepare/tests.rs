//! The messages that failed events become.

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
        (
            Category::Unknown,
            "boom",
            r#""failure_reason":"boom","stack_trace":"Traceback:\n    'status': 400,\n    schema.validate(1)\n   bei Crm.Timeout.Load()""#,
        ),
        (
            Category::Unknown,
            "boom",
            r#""failure_reason":"boom","stack_trace":"goroutine 1 [running]:\nmain.validateSchema(0xc000)\nlib/schema.rb:4:in validate""#,
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
    let original = ReplayTarget::original(AllowedTargets::Any);
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
    let text = record(r#","errorMessage":"schema validation failed""#);
    let of_unknown = prepared(&text.replace("TARGET_MISSING", "UNKNOWN"), None)?;
    assert_eq!(of_unknown.category, Category::Unknown, "the text was not evidence before");
    let trace = attribute(&of_unknown, imported::STACK_TRACE);
    assert_eq!(trace.as_deref(), Some("schema validation failed"));
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
    let event = r#"{"id": "e-1","detail-type":"t","source":"s","detail":{"interactionId":"i-1"}}"#;
    let lambda = serde_json::json!({
        "requestContext": {"functionArn": "arn:aws:lambda:eu-central-1:271828182845:function:f", "requestId": "r-1"},
        "requestPayload": "EVENT",
    });
    let call = serde_json::json!({
        "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/271828182845/jobs", "MessageBody": event,
    });
    let schedule =
        [("TARGET_ARN", "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"), ("EXECUTION_ID", "e-1")];
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
        let original = ReplayTarget::original(AllowedTargets::Any);
        let made = prepare_message(message, Some(arn), &original)?;
        assert_eq!(made.message.body, event);
        assert_eq!(made.identity, format!("e-1|{arn} "));
    }
    Ok(())
}

#[test]
fn message_is_unchanged_for_its_own_target() -> Result<(), Unusable> {
    let arn = "arn:aws:lambda:eu-central-1:271828182845:function:crm";
    let report = format!(
        r#"{{"requestContext":{{"functionArn":"{arn}:$LATEST","requestId":"r-1"}},"requestPayload":{{"id":"e-1","detail-type":"t","source":"s","detail":{{}}}}}}"#
    );
    let original = ReplayTarget::original(AllowedTargets::Any);
    let made = prepare_message(imported_message(report.clone())?, Some(arn), &original)?;
    assert_eq!(made.message.body, report, "with the report of a later failure");
    assert!(made.identity.ends_with(" r-1"), "{}", made.identity);
    let queue = "arn:aws:sqs:eu-central-1:271828182845:orders";
    let mut moved = imported_message(r#"{"orderId":7}"#.to_owned())?;
    for (name, value) in [(SOURCE_QUEUE, queue), ("tenant", "t1")] {
        moved.attributes.insert(name.to_owned(), value.to_owned());
    }
    let made = prepare_message(moved, Some(queue), &original)?;
    assert_eq!(attribute(&made, "tenant").as_deref(), Some("t1"));
    Ok(())
}

#[test]
fn event_of_two_targets_is_two_events() -> Result<(), Unusable> {
    let identity = |target: &str| {
        let mut message = imported_message("{}".to_owned())?;
        let arn = format!("arn:aws:sqs:eu-central-1:271828182845:{target}");
        message.attributes.insert("TARGET_ARN".to_owned(), arn);
        let original = ReplayTarget::original(AllowedTargets::Any);
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
