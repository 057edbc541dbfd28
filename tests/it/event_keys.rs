//! Event keys: different events with shared values have different keys.

use genesys_test_support::ingest_harness::{IngestHarness, SECRET, signature};
use genesys_test_support::{Record, ReplayHarness, TestResult};
use serde_json::Value;

const WEBHOOK: &str = "/webhooks/genesys-outbound";

fn webhook(call: u32) -> String {
    format!(
        r#"{{"campaignId":"c-1","contactId":"k-1","callId":"call-{call}","status":"COMPLETED","timestamp":"2026-07-25T17:20:0{call}Z"}}"#
    )
}

/// Replays the messages of ingest, one batch per message.
async fn replay(ingest: &IngestHarness, harness: &ReplayHarness) -> TestResult {
    for (id, message) in ingest.queued() {
        let mut record = Record::new(id.as_str(), &message.body);
        for (name, value) in &message.attributes {
            record = record.with(name, value.as_text().unwrap_or_default());
        }
        assert_eq!(harness.deliver(&[record]).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn webhooks_with_a_shared_webhook_id_are_each_delivered_once() -> TestResult {
    for header in ["x-genesys-webhook-id", "webhook-id"] {
        let (ingest, harness) = (IngestHarness::open().await?, ReplayHarness::start().await?);
        // Five events, and a duplicate of the first one.
        for call in [0, 1, 2, 3, 4, 0] {
            let headers = [(header, "the-configured-webhook")];
            let answer = ingest.post_with(WEBHOOK, &headers, webhook(call)).await?;
            assert_eq!(answer.status, 200);
        }
        replay(&ingest, &harness).await?;
        let bodies = harness.genesys.calls_to("POST", "/targets/").into_iter();
        let bodies: Vec<String> = bodies.map(|call| call.body).collect();
        assert_eq!(bodies, [0, 1, 2, 3, 4].map(webhook), "{header}");
    }
    Ok(())
}

#[tokio::test]
async fn dead_letters_with_a_shared_webhook_id_are_all_delivered() -> TestResult {
    let (ingest, harness) = (IngestHarness::open().await?, ReplayHarness::start().await?);
    for number in 0..3 {
        let body = genesys_test_support::ingest_harness::wrapper(
            "s-1",
            0,
            &format!(r#"{{"order":{number}}}"#),
        );
        let headers = [("content-type", "application/json"), ("webhook-id", "w-1")];
        assert_eq!(ingest.post_with("/dead-letter", &headers, body).await?.status, 200);
    }
    replay(&ingest, &harness).await?;
    assert_eq!(harness.deliveries(), 3);
    Ok(())
}

#[tokio::test]
async fn webhook_without_an_id_is_a_duplicate_by_its_body() -> TestResult {
    let (ingest, harness) = (IngestHarness::open().await?, ReplayHarness::start().await?);
    for body in [r#"{"test":1}"#, r#"{"test":2}"#, r#"{"test":1}"#] {
        assert_eq!(ingest.post(WEBHOOK, body).await?.status, 200);
    }
    replay(&ingest, &harness).await?;
    assert_eq!(harness.deliveries(), 2);
    Ok(())
}

#[tokio::test]
async fn webhook_id_with_a_dot_is_refused() -> TestResult {
    let ingest = IngestHarness::signed().await?;
    // The signature is of `x.<now>` and `{}`. The request has the id `x` and the body `<now>.{}`, or vice versa.
    for id in ["x.1785000000", "a.b", "."] {
        let headers = signature(SECRET, id, 0, "{}")?;
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = ingest.post_with(WEBHOOK, &headers, "{}").await?;
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(answer.text.contains("webhook-id has a dot"), "{}", answer.text);
    }
    assert!(ingest.queued().is_empty());
    Ok(())
}

#[tokio::test]
async fn targets_over_the_length_limit_do_not_share_a_key() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    for (message, dead_letter) in [("m-1", "x"), ("m-2", "y"), ("m-3", "y")] {
        let arn = format!("arn:aws:sqs:eu-central-1:271828182845:{}", dead_letter.repeat(1_100));
        let record = Record::dead_letter(message, "e-1", "c-1").with("TARGET_ARN", &arn);
        assert!(harness.deliver(&[record]).await?.is_empty(), "{message}");
    }
    let objects = harness.aws.objects(&bucket).await?;
    let mut messages: Vec<&str> =
        objects.iter().filter_map(|(_, object)| object["message_id"].as_str()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["m-1", "m-2"], "the third is a duplicate of the second");
    for (_, object) in &objects {
        assert_eq!(object["failure_code"], "TARGET_UNSUPPORTED");
        let reason = object["failure_reason"].as_str().unwrap_or_default();
        assert!(reason.contains("longer than 1024 bytes"), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn archive_keeps_every_body_of_one_event() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    // Malformed dead letters are not claimed. One event id, one target, one SentTimestamp, two bodies, and the
    // first one again, because its worker crashed before the acknowledgement.
    for (message, ani) in [("m-1", "1"), ("m-2", "2"), ("m-1", "1")] {
        let record = Record::dead_letter(message, "e-1", "c-1").with("ERROR_CODE", "INVALID_JSON");
        let body = record.0["body"].as_str().unwrap_or_default();
        let body = body.replace("+4930123456", ani);
        let mut record = record;
        record.0["body"] = Value::String(body);
        assert!(harness.deliver(&[record]).await?.is_empty());
    }
    let objects = harness.aws.objects(&bucket).await?;
    assert_eq!(objects.len(), 2, "{objects:?}");
    Ok(())
}

#[test]
fn former_keys_are_those_of_version_0_1() -> TestResult {
    use genesys_replay::dead_letter::{ParsedMessage, parse};
    use genesys_replay::destination::{AllowedTargets, ReplayTarget};
    use genesys_replay::ledger::EventKey;
    use genesys_replay::message::{Message, MessageId};

    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";
    const QUEUE: &str = "arn:aws:sqs:eu-central-1:271828182845:crm";
    const WHOLE: &str = r#"{"campaignId":"c","callId":"k","status":"S","timestamp":"T"}"#;
    const NUMBER: &str = r#"{"campaignId":"c","callId":"k","status":"S","timestamp":7}"#;
    const SPACE: &str = r#"{"campaignId":"c","callId":"k","status":"S","timestamp":"7 pm"}"#;
    let webhook = ("Origin", "ingest/webhook");
    let (sender, receipt) = (("WebhookId", "w 1"), ("ReceiptId", "r-1"));
    let wrapped = r#"{"eventType":"dead-letter","originalEvent":{"order":1}}"#;
    let event = r#"{"eventType":"dead-letter","originalEvent":{"id":"e-1","detail-type":"t","source":"s","detail":{}}}"#;
    // An id that is not valid in a key was replaced by its digest.
    let digest = genesys_replay::digest::hexadecimal("w 1");
    let shared = |id: &str, target: &str| (format!("{id}|{target}"), true);
    let own = |id: &str, target: &str| (format!("{id}|{target}"), false);
    for (body, attributes, target, expected) in [
        ("{}", vec![webhook, sender, receipt], QUEUE, vec![shared(&digest, QUEUE)]),
        ("{}", vec![webhook, receipt], QUEUE, vec![own("r-1", QUEUE)]),
        (WHOLE, vec![webhook, receipt], QUEUE, vec![]),
        // Version 0.1.0 did not accept a number for the time, and not an id with a space.
        (NUMBER, vec![webhook, receipt], QUEUE, vec![own("r-1", QUEUE)]),
        (SPACE, vec![webhook, receipt], QUEUE, vec![own("r-1", QUEUE)]),
        (SPACE, vec![], QUEUE, vec![own("m-1", QUEUE)]),
        (wrapped, vec![("Origin", "ingest/dead-letter"), receipt], QUEUE, vec![]),
        (wrapped, vec![("WebhookId", "w-1"), receipt], QUEUE, vec![shared("w-1", QUEUE)]),
        (event, vec![("WebhookId", "w-1"), receipt], QUEUE, vec![]),
        (
            wrapped,
            vec![("WebhookId", "w-1")],
            FUNCTION,
            vec![
                shared("w-1", FUNCTION),
                shared("w-1", &format!("{FUNCTION}:$LATEST")),
                own("own", &format!("{FUNCTION}:$LATEST")),
            ],
        ),
    ] {
        let mut message = Message::new(MessageId::new("m-1").ok_or("id")?, body.to_owned());
        let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        message.attributes.extend(attributes);
        let ParsedMessage::DeadLetter(parsed) = parse(&message) else {
            return Err(format!("{body} is not an event").into());
        };
        let target = ReplayTarget::original(AllowedTargets::Any).destination(Some(target), &[]);
        let key = EventKey::stored(&format!("own|{}", target.key_part()));
        let former = key.former(parsed.former_id.as_ref(), &target).into_iter();
        let former: Vec<_> = former.map(|it| (it.key.to_string(), it.is_shared)).collect();
        assert_eq!(former, expected, "{body} {:?}", message.attributes);
    }
    Ok(())
}
