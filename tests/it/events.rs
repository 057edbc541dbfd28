//! Every sample event is opened as what it is.

use std::collections::BTreeMap;

use genesys_replay::dead_letter::{DeadLetter, NotAnEvent, Opened, open};
use genesys_replay::failure::Category;
use genesys_replay::message::{Message, MessageId};

use crate::support::{TestResult, sample};

fn message(body: &str, attributes: &[(&str, &str)]) -> Result<Message, &'static str> {
    Ok(Message {
        id: MessageId::new("m-1").ok_or("id")?,
        body: body.to_owned(),
        receive_count: 1,
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    })
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
            Ok(Message {
                id: MessageId::new(record.message_id.ok_or("no id")?).ok_or("empty id")?,
                body: record.body.ok_or("no body")?,
                receive_count: 1,
                attributes,
            })
        })
        .collect()
}

fn letter(message: &Message) -> Result<DeadLetter<'_>, String> {
    match open(message) {
        Opened::DeadLetter(letter) => Ok(*letter),
        Opened::NotAnEvent(why) => Err(why.to_string()),
    }
}

#[test]
fn every_sample_is_opened_as_what_it_is() -> TestResult {
    for (name, has_event_id, has_interaction, category) in [
        (
            "eventbridge-rule-dlq.json",
            true,
            true,
            Category::RateLimitExceeded,
        ),
        (
            "eventbridge-rule-dlq-no-retries.json",
            true,
            true,
            Category::AuthenticationRejected,
        ),
        ("plain-event.json", true, true, Category::Unknown),
        ("tutorial-interaction.json", false, true, Category::Unknown),
        (
            "tutorial-detail.json",
            false,
            true,
            Category::EndpointUnreachable,
        ),
        (
            "audit-event.json",
            true,
            false,
            Category::EndpointUnreachable,
        ),
        (
            "queue-conversation.json",
            true,
            true,
            Category::EndpointUnreachable,
        ),
        (
            "transformed-input.json",
            false,
            false,
            Category::EndpointUnreachable,
        ),
        (
            "invalid-json.json",
            false,
            false,
            Category::PayloadMalformed,
        ),
    ] {
        for message in messages(name)? {
            let letter = letter(&message).map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(letter.payload, message.body, "{name}");
            assert_eq!(letter.event_id.is_some(), has_event_id, "{name}");
            assert_eq!(letter.interaction.is_some(), has_interaction, "{name}");
            assert_eq!(letter.failure.category(), category, "{name}");
        }
    }
    for message in messages("not-an-event.json")? {
        assert_eq!(open(&message), Opened::NotAnEvent(NotAnEvent::UnknownShape));
    }
    Ok(())
}

#[test]
fn a_rules_dead_letter_carries_what_is_known_of_its_failure() -> TestResult {
    let messages = messages("eventbridge-rule-dlq.json")?;
    let letter = letter(messages.first().ok_or("empty")?)?;
    assert_eq!(
        letter.event_type.as_deref(),
        Some("v2.detail.events.conversation.{id}.customer.end")
    );
    assert_eq!(letter.failure.retry_attempts, 185);
    assert_eq!(letter.failure.error_code.as_deref(), Some("THROTTLING"));
    assert!(
        letter
            .failure
            .rule_arn
            .is_some_and(|arn| arn.contains(":rule/"))
    );
    assert!(
        letter
            .failure
            .target_arn
            .is_some_and(|arn| arn.contains(":function:"))
    );
    let interaction = letter.interaction.ok_or("no interaction")?;
    assert!(interaction.participant.is_some());
    Ok(())
}

#[test]
fn four_attributes_are_enough() -> TestResult {
    let messages = messages("eventbridge-rule-dlq-no-retries.json")?;
    let message = messages.first().ok_or("empty")?;
    assert_eq!(message.attributes.len(), 4);
    assert_eq!(letter(message)?.failure.retry_attempts, 0);
    Ok(())
}

#[test]
fn a_queues_conversation_is_not_the_queue() -> TestResult {
    let messages = messages("queue-conversation.json")?;
    let message = messages.first().ok_or("empty")?;
    let interaction = letter(message)?.interaction.ok_or("no interaction")?;
    let event: serde_json::Value = serde_json::from_str(&message.body)?;
    assert_eq!(event["detail"]["eventBody"]["id"], interaction.id.as_str());
    Ok(())
}

#[test]
fn any_json_value_and_none_is_taken_where_eventbridge_says_it_is_a_dead_letter() -> TestResult {
    for body in [
        "\"text\"",
        "[1,2]",
        "7",
        "null",
        "{}",
        "not json",
        "",
        "{\"id\":\"not the event's\"}",
    ] {
        let message = message(body, &[("RULE_ARN", "arn"), ("ERROR_CODE", "TIMEOUT")])?;
        let letter = letter(&message)?;
        assert_eq!(letter.payload, body);
        assert_eq!(
            letter.event_id, None,
            "{body}: the id of a whole event only"
        );
    }
    Ok(())
}

#[test]
fn without_attributes_a_body_must_have_a_known_shape() -> TestResult {
    for (body, why) in [
        ("", NotAnEvent::Empty),
        ("  ", NotAnEvent::Empty),
        ("not json", NotAnEvent::NotJson),
        ("{\"half\":", NotAnEvent::NotJson),
        ("[]", NotAnEvent::UnknownShape),
        ("\"text\"", NotAnEvent::UnknownShape),
        ("{}", NotAnEvent::UnknownShape),
        ("{\"interactionId\":7}", NotAnEvent::UnknownShape),
        ("{\"interactionId\":\"\"}", NotAnEvent::UnknownShape),
        ("{\"interactionId\":\"../up\"}", NotAnEvent::UnknownShape),
        ("{\"detail\":{}}", NotAnEvent::UnknownShape),
        (
            "{\"detail\":\"text\",\"source\":\"x\"}",
            NotAnEvent::UnknownShape,
        ),
    ] {
        let message = message(body, &[("SomethingElse", "1")])?;
        assert_eq!(open(&message), Opened::NotAnEvent(why), "{body}");
    }
    Ok(())
}

#[test]
fn an_event_id_that_cannot_be_a_key_is_not_used() -> TestResult {
    let long = "x".repeat(300);
    for id in ["", "with space", "new\\nline", "é", &long] {
        let body = format!(r#"{{"id":"{id}","detail-type":"t","source":"s","detail":{{}}}}"#);
        assert_eq!(letter(&message(&body, &[])?)?.event_id, None, "{id}");
    }
    Ok(())
}
