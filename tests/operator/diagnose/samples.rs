//! The findings about all sample messages, as the function would handle them.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::pending;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::{ParsedMessage, original_failure, parse};
use genesys_replay::ledger::Status;
use genesys_replay::message::{Message, MessageId};
use genesys_replay_cli::ledger::Record;
use genesys_test_support::{TestResult, root, sample};
use serde_json::{Value, json};

use super::lazy_queue::{LazyQueue, dead_letter};
use super::{Items, NOW, look, look_at, look_with};

/// The messages of every sample event that has any, with the sample's name in their ids.
fn samples() -> Result<Vec<Message>, Box<dyn Error>> {
    let mut messages = Vec::new();
    for entry in std::fs::read_dir(root().join("events"))? {
        let entry = entry?;
        let text: Value = serde_json::from_slice(&std::fs::read(entry.path())?)?;
        if text.get("Records").is_none() {
            continue;
        }
        let name = entry.file_name().into_string().map_err(|_| "a name")?;
        for (index, record) in sample(&name)?.records.into_iter().enumerate() {
            let id = MessageId::new(format!("{name}/{index}")).ok_or("no id")?;
            let mut message = Message::new(id, record.body.unwrap_or_default());
            let attributes = record.message_attributes.into_iter();
            message.attributes = attributes
                .filter_map(|(name, attribute)| Some((name, attribute.string_value?)))
                .collect();
            messages.push(message);
        }
    }
    Ok(messages)
}

fn by_message(findings: &[Value]) -> BTreeMap<&str, &Value> {
    let named = findings.iter().filter_map(|it| Some((it["messageId"].as_str()?, it)));
    named.collect()
}

#[tokio::test(start_paused = true)]
async fn diagnose_lists_samples_with_category_and_payload() -> TestResult {
    let messages = samples()?;
    assert!(messages.len() >= 20, "{}", messages.len());
    let kept = messages.clone();
    let shelf = LazyQueue::new(messages.len(), move |number| kept[number].clone());
    let looked = look_at(&shelf, look()).await;
    assert_eq!(looked.well()?.total, messages.len() as u64);
    let findings = by_message(&looked.findings);
    for message in &messages {
        let finding = findings.get(message.id.as_str()).ok_or(message.id.as_str())?;
        let (category, payload, code) = match parse(message) {
            ParsedMessage::DeadLetter(letter) => {
                (letter.failure.category(), letter.payload.clone().into_owned(), None)
            }
            ParsedMessage::Unreplayable(why) => (
                original_failure(message).category(),
                message.body.clone(),
                Some(why.failure_code().as_str()),
            ),
        };
        let id = &message.id;
        assert_eq!(finding["failureCategory"], category.as_str(), "{id}");
        assert_eq!(finding["replayPayload"], payload, "{id}");
        if let Some(code) = code {
            assert_eq!(finding["failureCode"], code, "{id}");
            assert_eq!(finding["nextStep"], "ARCHIVE", "{id}");
        }
    }
    let malformed = findings.get("invalid-json.json/0").ok_or("no sample")?;
    assert_eq!(malformed["failureCode"], "PAYLOAD_MALFORMED");
    let echo = findings.get("own-echo.json/0").ok_or("no sample")?;
    assert_eq!(echo["failureCode"], "OWN_ECHO");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_record_has_its_members_in_the_documented_order() -> TestResult {
    let shelf = LazyQueue::new(1, dead_letter);
    let looked = look_at(&shelf, look()).await;
    looked.well()?;
    assert_eq!(
        looked.findings[0],
        json!({
            "timestamp": "2026-07-25T17:20:00Z",
            "interactionId": "c-0",
            "eventType": "v2.detail.events.conversation.{id}.customer.end",
            "failureCategory": "RATE_LIMIT_EXCEEDED",
            "replayPayload": dead_letter(0).body,
            "interactionInfo": null,
            "replayEndpoint": "arn:aws:lambda:eu-central-1:271828182845:function:crm",
            "messageId": "m-0",
            "eventId": "e-0",
            "failureCode": null,
            "ledgerStatus": null,
            "attempts": 0,
            "receiveCount": 1,
            "errorCode": "THROTTLING",
            "nextStep": "REPLAY",
            "errorMessage": null,
            "ruleArn": "arn:aws:events:eu-central-1:271828182845:rule/crm",
            "originalTarget": "arn:aws:lambda:eu-central-1:271828182845:function:crm",
        })
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_lists_malformed_messages_unchanged() -> TestResult {
    let bodies = ["", "<html>", "{\"half\":", "[1]", "\u{fffd}\u{1}ÿ", "\"text\"", "{}"];
    let shelf = LazyQueue::new(bodies.len(), move |number| {
        let mut message = dead_letter(number);
        message.body = bodies[number].to_owned();
        message.attributes.clear();
        message.sent_at = Some(Timestamp::from_millis(1_785_000_000_250));
        message
    });
    let looked = look_at(&shelf, look()).await;
    looked.well()?;
    let findings = by_message(&looked.findings);
    for (number, body) in bodies.iter().enumerate() {
        let finding = findings.get(format!("m-{number}").as_str()).ok_or("lost")?;
        assert_eq!(finding["replayPayload"], *body);
        assert_eq!(finding["failureCode"], "NOT_AN_EVENT", "{body}");
        assert_eq!(finding["timestamp"], "2026-07-25T17:20:00.25Z", "{body}");
        assert_eq!(finding["replayEndpoint"], Value::Null);
    }
    Ok(())
}

fn record(key: &str, status: Status, code: Option<&str>) -> (String, Record) {
    let record = Record {
        key: key.to_owned(),
        status: Some(status),
        delivered: false,
        receipt: None,
        round: 1,
        attempts: 4,
        interaction_id: None,
        category: String::new(),
        failure_code: code.map(str::to_owned),
        target: String::new(),
        original_target: None,
        event_type: None,
        message_id: String::new(),
        first_seen: None,
        processed: None,
        lease_until: Some(NOW.plus(Duration::from_secs(60))),
        not_before: None,
        closed_by: None,
        closing_reason: None,
        closing_operator: None,
    };
    (key.to_owned(), record)
}

fn key(number: usize) -> String {
    format!("e-{number}|arn:aws:lambda:eu-central-1:271828182845:function:crm")
}

#[tokio::test(start_paused = true)]
async fn diagnose_predicts_the_archiving_of_a_stale_event() -> TestResult {
    let century = Duration::from_secs(100 * 365 * 86_400);
    for (limit, code, next) in
        [(Duration::ZERO, json!("STALE"), "ARCHIVE"), (century, Value::Null, "REPLAY")]
    {
        let shelf = LazyQueue::new(1, dead_letter);
        let mut look = look();
        look.rules.stale_after = Some(limit);
        let looked = look_at(&shelf, look).await;
        let finding = looked.findings.first().ok_or("nothing found")?;
        assert_eq!(finding["failureCode"], code);
        assert_eq!(finding["nextStep"], next);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_groups_events_by_ledger_status() -> TestResult {
    let shelf = LazyQueue::new(6, dead_letter);
    let ledger = Items {
        records: [
            record(&key(0), Status::Completed, None),
            record(&key(1), Status::Archived, Some("TARGET_REFUSED")),
            record(&key(2), Status::Failed, Some("TARGET_REFUSED")),
            record(&key(3), Status::Deferred, Some("TARGET_UNAVAILABLE")),
            record(&key(4), Status::InProgress, None),
        ]
        .into(),
        ..Items::default()
    };
    let looked = look_with(&shelf, look(), &ledger, pending()).await;
    let diagnosis = looked.well()?;
    let findings = by_message(&looked.findings);
    for (number, status, code, next, attempts) in [
        (0, json!("COMPLETED"), Value::Null, "ACKNOWLEDGE", 4),
        (1, json!("ARCHIVED"), json!("TARGET_REFUSED"), "ACKNOWLEDGE", 4),
        (2, json!("FAILED"), json!("TARGET_REFUSED"), "RETURN", 4),
        (3, json!("DEFERRED"), json!("TARGET_UNAVAILABLE"), "REPLAY", 4),
        (4, json!("IN_PROGRESS"), Value::Null, "WAIT", 4),
        (5, Value::Null, Value::Null, "REPLAY", 0),
    ] {
        let finding = findings.get(format!("m-{number}").as_str()).ok_or("lost")?;
        assert_eq!(finding["ledgerStatus"], status, "{number}");
        assert_eq!(finding["failureCode"], code, "{number}");
        assert_eq!(finding["nextStep"], next, "{number}");
        assert_eq!(finding["attempts"], attempts, "{number}");
    }
    let groups: Vec<(u64, String, &str)> = diagnosis
        .groups
        .all()
        .into_iter()
        .map(|group| (group.count, group.key.failure_code, group.what_to_do))
        .collect();
    let counts: Vec<(u64, &str)> = groups.iter().map(|it| (it.0, it.1.as_str())).collect();
    assert_eq!(counts, [(3, ""), (2, "TARGET_REFUSED"), (1, "TARGET_UNAVAILABLE")]);
    assert!(groups[0].2.contains("the target was throttled"), "{}", groups[0].2);
    let page = genesys_replay::failure::FailureCode::TargetRefused.what_to_do();
    assert_eq!(groups[1].2, page);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn diagnose_continues_without_the_ledger_and_warns_once() -> TestResult {
    let shelf = LazyQueue::new(200, dead_letter);
    let ledger = Items { is_down: true, ..Items::default() };
    let looked = look_with(&shelf, look(), &ledger, pending()).await;
    let diagnosis = looked.well()?;
    assert_eq!((diagnosis.total, diagnosis.without_ledger), (200, 200));
    assert_eq!(looked.said.matches("continuing without the ledger").count(), 1);
    assert!(looked.said.contains("the credentials lack a permission"), "{}", looked.said);
    Ok(())
}
