//! The messages of ingest on the queue, and their replay by the function.

use std::collections::BTreeMap;

use genesys_replay::clock::Timestamp;
use genesys_replay::digest;
use genesys_replay::message::MessageId;
use genesys_replay::queue::NewMessage;
use genesys_replay_ingest::Authentication;
use genesys_test_support::ingest_harness::{IngestHarness, SECRET, now, signature, wrapper};
use genesys_test_support::replay_harness::mark;
use genesys_test_support::{Record, ReplayHarness, TestResult};
use serde_json::json;

const WEBHOOK: &str = "/webhooks/genesys-outbound";

fn attributes(message: &NewMessage) -> BTreeMap<&str, String> {
    let attributes = message.attributes.iter();
    attributes
        .map(|(name, value)| (name.as_ref(), value.as_text().unwrap_or_default().to_owned()))
        .collect()
}

/// Returns the record of a queued message.
fn record((id, message): &(MessageId, NewMessage)) -> Record {
    attributes(message)
        .iter()
        .fold(Record::new(id.as_str(), &message.body), |record, (name, value)| {
            record.with(name, value)
        })
}

#[tokio::test]
async fn queued_message_has_origin_time_and_retry_count() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    let body = wrapper("s-1", 7, r#"{"interactionId":"c-1"}"#);
    let headers = signature(SECRET, "msg-7", 0, &body)?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = ingest.post_with("/dead-letter", &headers, body.clone()).await?;
    assert_eq!(answer.status, 200);
    let queued = ingest.queued();
    let mut said = attributes(&queued[0].1);
    let received = said.remove("ReceivedAt").ok_or("no ReceivedAt")?;
    let received = Timestamp::parse(&received).ok_or("no time")?;
    assert!(received.as_secs().abs_diff(u64::try_from(now())?) < 600);
    let receipt = said.remove("ReceiptId").ok_or("no ReceiptId")?;
    assert!(receipt.len() > 32, "{receipt}");
    let timestamp = headers[2].1.to_owned();
    assert_eq!(
        said,
        BTreeMap::from([
            ("Origin", "ingest/dead-letter".to_owned()),
            ("RetryCount", "7".to_owned()),
            ("WebhookId", "msg-7".to_owned()),
            ("WebhookTimestamp", timestamp),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn webhook_id_of_genesys_has_priority_on_the_webhook_path() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let genesys = [
        ("x-genesys-webhook-id", "w-1"),
        ("x-genesys-webhook-timestamp", "2024-05-15T10:30:00.000Z"),
    ];
    let both =
        [genesys[0], genesys[1], ("webhook-id", "msg-1"), ("webhook-timestamp", "1785000000")];
    let body = r#"{"campaignId":"c","contactId":"x"}"#;
    for headers in [&genesys[..], &both, &both[2..], &[]] {
        assert_eq!(ingest.post_with(WEBHOOK, headers, body).await?.status, 200);
    }
    let all = [("content-type", "application/json"), both[0], both[1], both[2], both[3]];
    let wrapped = wrapper("s-1", 0, "[1]");
    assert_eq!(ingest.post_with("/dead-letter", &all, wrapped).await?.status, 200);
    let said: Vec<_> = ingest
        .queued()
        .iter()
        .map(|(_, message)| {
            let mut said = attributes(message);
            (said.remove("WebhookId"), said.remove("WebhookTimestamp"))
        })
        .collect();
    let pair = |id: &str, at: &str| (Some(id.to_owned()), Some(at.to_owned()));
    let theirs = pair("w-1", "2024-05-15T10:30:00.000Z");
    let standard = pair("msg-1", "1785000000");
    assert_eq!(said, [theirs.clone(), theirs, standard.clone(), (None, None), standard]);
    Ok(())
}

#[tokio::test]
async fn fifo_group_is_the_interaction_and_deduplication_the_event() -> TestResult {
    let ingest = IngestHarness::with(Authentication::None, |ingest| {
        genesys_replay_ingest::Ingest { sender: genesys_fakes::MemorySender::fifo(), ..ingest }
    })
    .await?;
    let event = |id: &str| {
        format!(
            r#"{{"id":"{id}","detail-type":"v2.detail.events.conversation.{{id}}.customer.end","source":"aws.partner/genesys.com/x","detail":{{"topicName":"v2.detail.events.conversation.c-1.customer.end","eventBody":{{"conversationId":"c-1"}}}}}}"#
        )
    };
    for (id, retries) in [("e-1", 0), ("e-2", 0), ("e-1", 1)] {
        let body = wrapper("s-1", retries, &event(id));
        assert_eq!(ingest.post("/dead-letter", &body).await?.status, 200);
    }
    // Without an id, each request is another event.
    for _ in 0..2 {
        let body = wrapper("s-1", 0, r#"{"a":1}"#);
        assert_eq!(ingest.post("/dead-letter", &body).await?.status, 200);
    }
    let queued = ingest.queued();
    let orders: Vec<_> = queued
        .iter()
        .map(|(_, message)| (message.group.as_str(), message.deduplication.as_str()))
        .collect();
    assert_eq!(orders.len(), 4, "the repeated event is known");
    assert_eq!(orders[0], ("c-1", digest::hexadecimal("e-1").as_str()));
    assert_eq!(orders[1], ("c-1", digest::hexadecimal("e-2").as_str()));
    for (group, deduplication) in &orders[2..] {
        assert_eq!(group, deduplication);
    }
    assert_ne!(orders[2], orders[3]);
    Ok(())
}

#[tokio::test]
async fn duplicate_dead_letter_is_delivered_once_with_next_attempt() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let harness = ReplayHarness::start().await?;
    let event = r#"{"interactionId":"c-1", "spaced" : true}"#;
    for retries in [4, 5] {
        let headers = [("content-type", "application/json"), ("webhook-id", "msg-1")];
        let body = wrapper("s-1", retries, event);
        assert_eq!(ingest.post_with("/dead-letter", &headers, body).await?.status, 200);
    }
    for message in &ingest.queued() {
        assert_eq!(harness.deliver(&[record(message)]).await?, Vec::<String>::new());
    }
    let deliveries = harness.genesys.calls_to("POST", "/targets/");
    assert_eq!(deliveries.len(), 1, "the second is known");
    assert_eq!(deliveries[0].body, event, "byte for byte");
    let counted = deliveries[0].headers.get("x-attempt-count");
    assert_eq!(counted.map(String::as_str), Some("5"), "four before, and ours");
    let marks = harness.genesys.calls_to("PATCH", "/api/v2/");
    assert!(marks.iter().all(|call| mark(&call.body).is_some()) && marks.len() == 2);
    let id = format!("msg-1-{}", digest::short(event));
    assert_eq!(harness.state(&id).await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn duplicate_message_is_one_event() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let harness = ReplayHarness::start().await?;
    for (path, body) in [
        ("/dead-letter", wrapper("s-1", 0, r#"{"a":1}"#)),
        (WEBHOOK, r#"{"test":true}"#.to_owned()),
    ] {
        assert_eq!(ingest.post(path, &body).await?.status, 200);
    }
    for (number, message) in ingest.queued().into_iter().enumerate() {
        for copy in ["a", "b"] {
            let id = MessageId::new(format!("copy-{copy}-{number}")).ok_or("no id")?;
            let record = record(&(id, message.1.clone()));
            assert_eq!(harness.deliver(&[record]).await?, Vec::<String>::new());
        }
    }
    assert_eq!(harness.deliveries(), 2);
    Ok(())
}

#[tokio::test]
async fn webhook_is_delivered_unchanged_once_per_id() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let harness = ReplayHarness::start().await?;
    let body = r#"{"status" : "TEST_EVENT"}"#;
    for id in ["w-1", "w-1", "w-2"] {
        let headers = [("x-genesys-webhook-id", id)];
        assert_eq!(ingest.post_with(WEBHOOK, &headers, body).await?.status, 200);
    }
    for message in &ingest.queued() {
        assert_eq!(harness.deliver(&[record(message)]).await?, Vec::<String>::new());
    }
    let deliveries = harness.genesys.calls_to("POST", "/targets/");
    assert_eq!(deliveries.len(), 2);
    assert!(deliveries.iter().all(|call| call.body == body));
    assert!(harness.marks().is_empty(), "a webhook has no interaction");
    let id = format!("w-1-{}", digest::short(body));
    assert_eq!(harness.state(&id).await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn malformed_webhook_is_archived_unchanged() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    let not_queueable = "{\"text\":\"\u{ffff}\"}";
    for body in [&b"campaign=1&status=DONE"[..], b"[1]", b"\xff\x00\xfe", not_queueable.as_bytes()]
    {
        let answer = ingest.post_with(WEBHOOK, &[], body.to_vec()).await?;
        assert_eq!(answer.status, 200);
    }
    let records: Vec<_> = ingest.queued().iter().map(record).collect();
    assert_eq!(harness.deliver(&records).await?, Vec::<String>::new());
    assert_eq!(harness.deliveries(), 0);
    let mut kept: Vec<_> = harness
        .aws
        .objects(&bucket)
        .await?
        .into_iter()
        .map(|(_, object)| {
            assert_eq!(object["failure_code"], "NOT_AN_EVENT");
            let reason = object["failure_reason"].as_str().unwrap_or_default().to_owned();
            let malformed = &object["attributes"]["Malformed"];
            (malformed.clone(), object["body"].clone(), object["body_base64"].clone(), reason)
        })
        .collect();
    kept.sort_by_key(|(malformed, ..)| malformed.to_string());
    let null = json!(null);
    let expected = [
        (
            "not_an_object",
            json!("[1]"),
            null.clone(),
            "the webhook's body is JSON, but not an object",
        ),
        (
            "not_json",
            json!("campaign=1&status=DONE"),
            null.clone(),
            "the webhook's body is not JSON",
        ),
        (
            "not_queueable",
            null.clone(),
            json!("eyJ0ZXh0Ijoi77+/In0="),
            "the webhook's body has characters that SQS does not accept",
        ),
        ("not_utf8", null, json!("/wD+"), "the webhook's body is not UTF-8 text"),
    ];
    let expected =
        expected.map(|(word, body, base64, reason)| (json!(word), body, base64, reason.to_owned()));
    assert_eq!(kept, expected);
    Ok(())
}

#[tokio::test]
async fn webhook_path_does_not_bypass_dead_letter_checks() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let harness = ReplayHarness::start().await?;
    let wrapped = wrapper("s-off", 3, r#"{"interactionId":"c-1"}"#);
    for body in [wrapped.as_str(), r#"{"eventType":"dead-letter"}"#] {
        let refused = ingest.post(WEBHOOK, body).await?;
        assert_eq!(refused.status, 400);
        assert!(refused.text.contains("/dead-letter"), "{}", refused.text);
    }
    // On this path, a body in the format of another envelope is a webhook.
    let dead_letter =
        r#"{"id":"e-1","detail-type":"t","source":"s","detail":{"interactionId":"c-1"}}"#;
    let record = r#"{"busArn":"b","failedMessages":[]}"#;
    for body in [dead_letter, record] {
        assert_eq!(ingest.post(WEBHOOK, body).await?.status, 200);
    }
    for message in &ingest.queued() {
        assert_eq!(harness.deliver(&[self::record(message)]).await?, Vec::<String>::new());
    }
    let deliveries = harness.genesys.calls_to("POST", "/targets/");
    let bodies: Vec<_> = deliveries.iter().map(|call| call.body.as_str()).collect();
    assert_eq!(bodies, [dead_letter, record], "unchanged");
    assert!(harness.marks().is_empty(), "no interaction is marked");
    Ok(())
}

#[tokio::test]
async fn delivered_event_is_the_checked_event_of_the_dead_letter() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let harness = ReplayHarness::start().await?;
    let event = r#"{"id":"mine"}"#;
    for members in [
        r#""requestContext":{"functionArn":"arn:aws:lambda:r:1:function:other"},"requestPayload":{"not":"mine"}"#,
        r#""Type":"Notification","TopicArn":"t","Message":"{\"not\":\"mine\"}""#,
        r#""busArn":"b","failedMessages":[]"#,
        r#""detail-type":"t","source":"s","detail":{},"id":"e-9""#,
    ] {
        let body = wrapper("s-1", 0, event).replacen('{', &format!("{{{members},"), 1);
        assert_eq!(ingest.post("/dead-letter", &body).await?.status, 200);
    }
    for message in &ingest.queued() {
        assert_eq!(harness.deliver(&[record(message)]).await?, Vec::<String>::new());
    }
    let deliveries = harness.genesys.calls_to("POST", "/targets/");
    assert_eq!(deliveries.len(), 4);
    assert!(deliveries.iter().all(|call| call.body == event));
    Ok(())
}

#[tokio::test]
async fn duplicate_is_detected_when_its_id_cannot_be_a_key() -> TestResult {
    let ingest = IngestHarness::open().await?;
    let harness = ReplayHarness::start().await?;
    for id in ["a|b c", "a|b c", "a|b d"] {
        let headers = [("x-genesys-webhook-id", id)];
        assert_eq!(ingest.post_with(WEBHOOK, &headers, "{}").await?.status, 200);
    }
    for message in &ingest.queued() {
        assert_eq!(harness.deliver(&[record(message)]).await?, Vec::<String>::new());
    }
    assert_eq!(harness.deliveries(), 2);
    Ok(())
}
