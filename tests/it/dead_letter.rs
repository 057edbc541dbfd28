//! The parsing of every sample event.

use std::collections::BTreeMap;

use genesys_replay::dead_letter::{
    DeadLetter, EventId, ParsedMessage, UnreplayableReason, original_failure, parse,
};
use genesys_replay::digest;
use genesys_replay::failure::{Category, FailureCode, OriginalFailure};
use genesys_replay::message::{Message, MessageId};
use genesys_test_support::{TestResult, sample};

fn message(body: &str, attributes: &[(&str, &str)]) -> Result<Message, &'static str> {
    let mut message = Message::new(MessageId::new("m-1").ok_or("id")?, body.to_owned());
    message.attributes =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(message)
}

fn messages(name: &str) -> Result<Vec<Message>, Box<dyn std::error::Error>> {
    sample(name)?
        .records
        .into_iter()
        .map(|record| {
            let attributes: BTreeMap<String, String> = record
                .message_attributes
                .into_iter()
                .filter_map(|(name, attribute)| Some((name, attribute.string_value?)))
                .collect();
            let id = MessageId::new(record.message_id.ok_or("no id")?).ok_or("empty id")?;
            let mut message = Message::new(id, record.body.ok_or("no body")?);
            message.attributes = attributes;
            Ok(message)
        })
        .collect()
}

fn parsed(message: &Message) -> Result<DeadLetter<'_>, String> {
    match parse(message) {
        ParsedMessage::DeadLetter(dead_letter) => Ok(*dead_letter),
        ParsedMessage::Unreplayable(why) => Err(why.to_string()),
    }
}

#[test]
fn sample_events_are_parsed_as_documented() -> TestResult {
    for (name, has_event_id, has_interaction, category) in [
        ("eventbridge-rule-dlq.json", true, true, Category::RateLimitExceeded),
        ("eventbridge-rule-dlq-no-retries.json", true, true, Category::AuthenticationRejected),
        ("plain-event.json", true, true, Category::Unknown),
        ("tutorial-interaction.json", false, true, Category::Unknown),
        ("tutorial-detail.json", false, true, Category::EndpointUnreachable),
        ("audit-event.json", true, false, Category::EndpointUnreachable),
        ("queue-conversation.json", true, true, Category::EndpointUnreachable),
        ("transformed-input.json", false, false, Category::EndpointUnreachable),
        ("invalid-json.json", false, false, Category::PayloadMalformed),
        ("input-path-detail.json", false, true, Category::EndpointUnreachable),
        ("tutorial-event.json", false, true, Category::Unknown),
        ("binary-attribute.json", true, true, Category::EndpointUnreachable),
        ("webhook-without-call.json", true, false, Category::Unknown),
    ] {
        for message in messages(name)? {
            let dead_letter = parsed(&message).map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(dead_letter.payload, message.body, "{name}");
            assert_eq!(dead_letter.event_id.is_some(), has_event_id, "{name}");
            assert_eq!(dead_letter.interaction.is_some(), has_interaction, "{name}");
            assert_eq!(dead_letter.failure.category(), category, "{name}");
        }
    }
    for message in messages("not-an-event.json")? {
        assert_eq!(parse(&message), ParsedMessage::Unreplayable(UnreplayableReason::UnknownShape));
    }
    Ok(())
}

#[test]
fn dead_letter_of_a_rule_has_its_failure_attributes() -> TestResult {
    let messages = messages("eventbridge-rule-dlq.json")?;
    let dead_letter = parsed(messages.first().ok_or("empty")?)?;
    assert_eq!(
        dead_letter.event_type.as_deref(),
        Some("v2.detail.events.conversation.{id}.customer.end")
    );
    assert_eq!(dead_letter.failure.retry_attempts, 185);
    assert_eq!(dead_letter.failure.error_code.as_deref(), Some("THROTTLING"));
    assert!(dead_letter.failure.rule_arn.is_some_and(|arn| arn.contains(":rule/")));
    assert!(dead_letter.failure.target_arn.is_some_and(|arn| arn.contains(":function:")));
    let interaction = dead_letter.interaction.ok_or("no interaction")?;
    assert!(interaction.participant.is_some());
    Ok(())
}

#[test]
fn four_attributes_are_enough() -> TestResult {
    let messages = messages("eventbridge-rule-dlq-no-retries.json")?;
    let message = messages.first().ok_or("empty")?;
    assert_eq!(message.attributes.len(), 4);
    assert_eq!(parsed(message)?.failure.retry_attempts, 0);
    Ok(())
}

#[test]
fn interaction_of_a_queue_event_is_the_conversation() -> TestResult {
    let messages = messages("queue-conversation.json")?;
    let message = messages.first().ok_or("empty")?;
    let interaction = parsed(message)?.interaction.ok_or("no interaction")?;
    let event: serde_json::Value = serde_json::from_str(&message.body)?;
    assert_eq!(event["detail"]["eventBody"]["id"], interaction.id.as_str());
    Ok(())
}

#[test]
fn dead_letter_of_a_rule_may_have_any_body() -> TestResult {
    for body in
        ["\"text\"", "[1,2]", "7", "null", "{}", "not json", "", "{\"id\":\"not the event's\"}"]
    {
        let message = message(body, &[("RULE_ARN", "arn"), ("ERROR_CODE", "TIMEOUT")])?;
        let dead_letter = parsed(&message)?;
        assert_eq!(dead_letter.payload, body);
        assert_eq!(dead_letter.event_id, None, "{body}: the id of a whole event only");
    }
    Ok(())
}

#[test]
fn body_must_have_a_known_shape_without_attributes() -> TestResult {
    for (body, why) in [
        ("", UnreplayableReason::Empty),
        ("  ", UnreplayableReason::Empty),
        ("not json", UnreplayableReason::NotJson),
        ("{\"half\":", UnreplayableReason::NotJson),
        ("[]", UnreplayableReason::UnknownShape),
        ("\"text\"", UnreplayableReason::UnknownShape),
        ("{}", UnreplayableReason::UnknownShape),
        ("{\"interactionId\":7}", UnreplayableReason::UnknownShape),
        ("{\"interactionId\":\"\"}", UnreplayableReason::UnknownShape),
        ("{\"interactionId\":\"../up\"}", UnreplayableReason::UnknownShape),
        ("{\"detail\":{}}", UnreplayableReason::UnknownShape),
        ("{\"failedMessages\":[]}", UnreplayableReason::UnknownShape),
        ("{\"busArn\":\"arn\"}", UnreplayableReason::UnknownShape),
        ("{\"detail\":\"text\",\"source\":\"x\"}", UnreplayableReason::UnknownShape),
    ] {
        let message = message(body, &[("SomethingElse", "1")])?;
        assert_eq!(parse(&message), ParsedMessage::Unreplayable(why), "{body}");
    }
    Ok(())
}

#[test]
fn event_id_is_ignored_when_it_cannot_be_a_key() -> TestResult {
    let long = "x".repeat(300);
    for id in ["", "with space", "new\\nline", "é", &long] {
        let body = format!(r#"{{"id":"{id}","detail-type":"t","source":"s","detail":{{}}}}"#);
        assert_eq!(parsed(&message(&body, &[])?)?.event_id, None, "{id}");
    }
    Ok(())
}

#[test]
fn payload_is_the_raw_inner_event() -> TestResult {
    for (name, pointer, category) in [
        // The error message is the function's own text.
        ("lambda-destination.json", "/requestPayload", Category::Unknown),
        ("dead-letter-wrapper.json", "/originalEvent", Category::EndpointUnreachable),
    ] {
        let messages = messages(name)?;
        let message = messages.first().ok_or("empty")?;
        let dead_letter = parsed(message)?;
        let outer: serde_json::Value = serde_json::from_str(&message.body)?;
        let inner = outer.pointer(pointer).ok_or("no inner event")?;
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&dead_letter.payload)?,
            *inner,
            "{name}"
        );
        assert!(message.body.contains(dead_letter.payload.as_ref()), "{name}: byte for byte");
        assert_eq!(
            dead_letter.event_id.map(|id| id.as_str().to_owned()).as_deref(),
            inner["id"].as_str()
        );
        assert!(dead_letter.interaction.is_some(), "{name}");
        assert_eq!(dead_letter.failure.retry_attempts, 2, "{name}");
        assert_eq!(dead_letter.failure.category(), category, "{name}");
    }
    Ok(())
}

#[test]
fn payload_keeps_spacing_and_unknown_members() -> TestResult {
    let inner = "{ \"id\" : \"e-1\",\n\"replay-name\":1e2, \"x\":{} }";
    let body = format!(r#"{{"eventType":"dead-letter","originalEvent":{inner}}}"#);
    assert_eq!(parsed(&message(&body, &[])?)?.payload, inner);
    Ok(())
}

#[test]
fn failure_record_names_the_failed_function() -> TestResult {
    let messages = messages("lambda-destination.json")?;
    let dead_letter = parsed(messages.first().ok_or("empty")?)?;
    let target = dead_letter.failure.target_arn.ok_or("no target")?;
    assert!(target.ends_with(":function:crm-conversation-sync:$LATEST"), "{target}");
    Ok(())
}

#[test]
fn dead_letter_of_a_function_is_the_event_itself() -> TestResult {
    let messages = messages("lambda-function-dlq.json")?;
    let message = messages.first().ok_or("empty")?;
    let dead_letter = parsed(message)?;
    assert_eq!(dead_letter.payload, message.body);
    assert_eq!(dead_letter.failure.error_code.as_deref(), Some("200"));
    // The error message is the function's own text.
    assert_eq!(dead_letter.failure.category(), Category::Unknown);
    assert_eq!(dead_letter.failure.target_arn, None, "the function is not named");
    for (name, value, expected) in [
        ("ErrorCode", "429", Category::RateLimitExceeded),
        ("ErrorMessage", "schema changed, see 400", Category::Unknown),
    ] {
        let attributes = [("RequestID", "r-1"), (name, value)];
        let message = self::message("any text", &attributes)?;
        let category = self::parsed(&message)?.failure.category();
        assert_eq!(category, expected, "{name} is enough");
    }
    let neither = self::message("any text", &[("RequestID", "r-1")])?;
    assert_eq!(parse(&neither), ParsedMessage::Unreplayable(UnreplayableReason::NotJson));
    Ok(())
}

#[test]
fn sns_notification_is_unwrapped_up_to_three_times() -> TestResult {
    let messages = messages("sns-notification.json")?;
    let message_once = messages.first().ok_or("empty")?;
    let once = parsed(message_once)?;
    assert!(once.payload.contains("Zoë Öztürk"));
    let wrap = |inner: &str| {
        serde_json::json!({"Type":"Notification","TopicArn":"arn:aws:sns:x","Message":inner})
            .to_string()
    };
    let mut body = once.payload.to_string();
    for depth in 1..=4 {
        body = wrap(&body);
        let message = message(&body, &[])?;
        match parse(&message) {
            ParsedMessage::DeadLetter(dead_letter) => {
                assert!(depth <= 3);
                assert_eq!(dead_letter.payload, once.payload, "{depth}");
                assert_eq!(dead_letter.event_id, once.event_id, "{depth}");
            }
            ParsedMessage::Unreplayable(why) => {
                assert_eq!((depth, why), (4, UnreplayableReason::NestedTooDeep));
            }
        }
    }
    for inner in ["", "text", "{}"] {
        let message = message(&wrap(inner), &[])?;
        assert!(matches!(parse(&message), ParsedMessage::Unreplayable(_)), "{inner}");
    }
    for (name, other) in [("Notification", "Subscription"), ("TopicArn", "Topic")] {
        let message = message(&wrap(&once.payload).replace(name, other), &[])?;
        let seen = parse(&message);
        assert_eq!(seen, ParsedMessage::Unreplayable(UnreplayableReason::UnknownShape), "{other}");
    }
    Ok(())
}

#[test]
fn sns_envelope_fields_are_not_used_as_evidence() -> TestResult {
    let event = r#"{"id":"e","detail-type":"t","source":"s","detail":{}}"#;
    let around = serde_json::json!({"Type":"Notification","TopicArn":"arn","Message":event});
    let message = message(&around.to_string(), &[("ERROR_CODE", "TIMEOUT")])?;
    assert_eq!(parsed(&message)?.failure, OriginalFailure::default());
    let empty = self::message(event, &[("ERROR_CODE", "")])?;
    assert_eq!(parsed(&empty)?.failure, OriginalFailure::default());
    assert_eq!(original_failure(&empty), OriginalFailure::default());
    Ok(())
}

#[test]
fn webhook_id_is_sent_by_genesys_or_derived_from_the_call() -> TestResult {
    let messages = messages("outbound-webhook.json")?;
    let webhook = messages.first().ok_or("empty")?;
    let made = parsed(webhook)?;
    let id = |dead_letter: DeadLetter<'_>| dead_letter.event_id.map(|id| id.as_str().to_owned());
    assert_eq!(made.failure.retry_attempts, 1);
    assert_eq!(made.interaction, None);
    assert_eq!(id(made).as_deref(), Some("call-7c1d55e0/CALL_COMPLETED/2026-04-18T09:00:00.000Z"));
    let mut named = webhook.clone();
    named.attributes.insert("WebhookId".to_owned(), "webhook-7".to_owned());
    let with_body = format!("webhook-7-{}", digest::short(&webhook.body));
    assert_eq!(id(parsed(&named)?), Some(with_body));
    for whose in ["campaignId", "contactId"] {
        let body = format!(r#"{{"{whose}":"x","callId":"c","status":"s","timestamp":"t"}}"#);
        let webhook = message(&body, &[])?;
        assert_eq!(id(parsed(&webhook)?).as_deref(), Some("c/s/t"), "{whose}");
    }
    for body in [
        r#"{"callId":"c","status":"s","timestamp":"t"}"#,
        r#"{"campaignId":"c"}"#,
        r#"{"campaignId":"c","conversation":{}}"#,
        r#"{"campaignId":{},"status":"s"}"#,
    ] {
        let other = message(body, &[])?;
        let expected = ParsedMessage::Unreplayable(UnreplayableReason::UnknownShape);
        assert_eq!(parse(&other), expected, "{body}");
    }
    Ok(())
}

#[test]
fn incomplete_webhook_is_identified_by_its_body() -> TestResult {
    for (body, expected) in [
        (r#"{"campaignId":"c","status":"s","timestamp":"t"}"#, None),
        (r#"{"contactId":7,"status":"s"}"#, None),
        (r#"{"campaignId":"c","contactId":"k"}"#, None),
        (
            r#"{"campaignId":"c","callId":"x","status":"s","timestamp":1776521024815}"#,
            Some("x/s/1776521024815"),
        ),
        (r#"{"campaignId":"c","callId":5,"status":"s","timestamp":"t"}"#, Some("5/s/t")),
    ] {
        let webhook = message(body, &[])?;
        let expected = expected.map_or_else(|| digest::hexadecimal(body), str::to_owned);
        let dead_letter = parsed(&webhook)?;
        assert_eq!(dead_letter.event_id, EventId::new(expected), "{body}");
        assert_eq!(dead_letter.payload, body, "as over HTTP");
    }
    Ok(())
}

#[test]
fn message_without_an_event_is_unreplayable() -> TestResult {
    for (name, expected) in [
        ("event-bus-kms-dlq.json", UnreplayableReason::Encrypted),
        ("custom-bus-record.json", UnreplayableReason::CustomBusRecord),
    ] {
        let messages = messages(name)?;
        let message = messages.first().ok_or("empty")?;
        assert_eq!(expected.failure_code(), FailureCode::NoPayload);
        assert_eq!(parse(message), ParsedMessage::Unreplayable(expected), "{name}");
        let told = original_failure(message);
        let attribute = |name: &str| message.attributes.get(name);
        assert_eq!(told.error_code.as_ref(), attribute("ERROR_CODE"), "{name}");
        assert_eq!(told.error_message.as_ref(), attribute("ERROR_MESSAGE"), "{name}");
    }
    for body in [
        r#"{"eventType":"dead-letter","retryCount":1}"#,
        r#"{"eventType":"dead-letter","originalEvent":null}"#,
        r#"{"requestContext":{"functionArn":"arn"},"responsePayload":{}}"#,
    ] {
        let message = message(body, &[])?;
        assert_eq!(
            parse(&message),
            ParsedMessage::Unreplayable(UnreplayableReason::EmptyWrapper),
            "{body}"
        );
    }
    Ok(())
}

#[test]
fn event_is_parsed_when_only_an_error_code_is_set() -> TestResult {
    let whole = r#"{"id":"e","detail-type":"t","source":"s","detail":{}}"#;
    let whole = message(whole, &[("ERROR_CODE", "TIMEOUT")])?;
    let event = parsed(&whole)?;
    assert_eq!(event.event_id.as_ref().map(EventId::as_str), Some("e"));
    assert_eq!(event.failure.category(), Category::EndpointUnreachable);
    let pointer = message(r#"{"interactionId":"i-1"}"#, &[("ERROR_CODE", "TIMEOUT")])?;
    assert_eq!(parsed(&pointer)?.failure.category(), Category::EndpointUnreachable);
    let text = message("any text", &[("ERROR_CODE", "TIMEOUT")])?;
    let text = parsed(&text)?;
    assert_eq!(text.payload, "any text", "delivered unchanged");
    assert_eq!(text.failure.category(), Category::EndpointUnreachable);
    Ok(())
}

#[test]
fn own_echo_is_detected_only_without_other_attributes() -> TestResult {
    let messages = messages("own-echo.json")?;
    let message = messages.first().ok_or("empty")?;
    assert!(parsed(message)?.own_echo);
    let with_another = message
        .body
        .replace(r#""system.retryAttempt":"1""#, r#""system.retryAttempt":"1","outcome":"sold""#);
    assert!(!parsed(&self::message(&with_another, &[])?)?.own_echo);
    let of_another_topic = message.body.replace(".attributes", ".customer.end");
    assert!(!parsed(&self::message(&of_another_topic, &[])?)?.own_echo);
    let of_nothing = message
        .body
        .replace(r#"{"system.retryAttempt":"1","system.retryStatus":"retrying"}"#, "{}");
    assert!(!parsed(&self::message(&of_nothing, &[])?)?.own_echo);
    Ok(())
}

#[test]
fn byte_order_mark_is_skipped_when_read_and_delivered_unchanged() -> TestResult {
    for name in ["plain-event.json", "tutorial-interaction.json", "audit-event.json"] {
        for message in messages(name)? {
            for attributes in [&[][..], &[("TARGET_ARN", "t"), ("ERROR_CODE", "TIMEOUT")]] {
                let plain = self::message(&message.body, attributes)?;
                let marked = self::message(&format!("\u{feff}{}", message.body), attributes)?;
                let (plain, marked_letter) = (parsed(&plain)?, parsed(&marked)?);
                assert_eq!(marked_letter.payload, marked.body, "{name}");
                assert_eq!(marked_letter.event_id, plain.event_id, "{name}");
                assert_eq!(marked_letter.event_type, plain.event_type, "{name}");
                assert_eq!(marked_letter.interaction, plain.interaction, "{name}");
            }
        }
    }
    Ok(())
}
