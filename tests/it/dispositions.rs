//! Configuration errors, conflicts, lost responses, and events of our own marks, on real adapters.

use genesys_stand_in::Fault;
use genesys_test_support::{Record, ReplayHarness, TestResult};
use serde_json::json;

fn dead_letters(numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers
        .map(|number| {
            let (message, event) = (format!("m-{number}"), format!("e-{number}"));
            Record::dead_letter(&message, &event, "c-1")
        })
        .collect()
}

async fn harness() -> Result<ReplayHarness, Box<dyn std::error::Error>> {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    Ok(harness)
}

async fn archived(harness: &ReplayHarness) -> Result<usize, Box<dyn std::error::Error>> {
    let bucket = harness.settings().get("ARCHIVE_BUCKET").ok_or("no bucket")?;
    Ok(harness.aws.objects(bucket).await?.len())
}

#[tokio::test]
async fn circuit_opens_and_nothing_is_archived_when_url_is_wrong() -> TestResult {
    for status in [301, 302, 307, 308, 401, 403, 404, 405, 407, 410, 421, 426, 501, 505] {
        let mut harness = harness().await?;
        harness.set("MAX_CONCURRENCY", "1");
        harness.genesys.fault(Fault::on("POST", "/targets/").status(status));
        let back = harness.deliver(&dead_letters(0..10)).await?;
        assert_eq!(back.len(), 10, "{status}");
        assert_eq!(archived(&harness).await?, 0, "{status}");
        assert_eq!(harness.deliveries(), 5, "{status}: the circuit opens");
        let expected = if [401, 403].contains(&status) {
            "DEFERRED TARGET_CREDENTIALS"
        } else {
            "DEFERRED TARGET_MISCONFIGURED"
        };
        assert_eq!(harness.state("e-0").await?, expected, "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn event_is_rejected_at_its_third_configuration_error() -> TestResult {
    let harness = harness().await?;
    let function = harness.function()?;
    harness.genesys.fault(Fault::on("POST", "/targets/").body_contains("\"e-0\"").status(404));
    let handle = async |numbers| {
        let event = genesys_test_support::event(&dead_letters(numbers));
        genesys_test_support::replay_harness::invoke(&function, event).await
    };
    for others in [1, 2] {
        assert_eq!(handle(0..1).await??, ["m-0"]);
        assert_eq!(handle(others..others + 1).await??, [""; 0]);
    }
    assert_eq!(handle(0..1).await??, [""; 0]);
    assert_eq!(harness.state("e-0").await?, "ARCHIVED TARGET_REFUSED");
    let counted = harness.aws.attribute(&harness.key("e-0"), "ConfigurationAnswers").await?;
    assert_eq!(counted.as_deref(), Some("3"));
    Ok(())
}

#[tokio::test]
async fn conflict_after_a_lost_answer_rejects_nothing() -> TestResult {
    let harness = harness().await?;
    let lost = Fault::on("POST", "/targets/").close().act().times(1);
    harness.genesys.fault(lost);
    let conflict =
        Fault::on("POST", "/targets/").status(409).body(r#"{"code":"idempotency_in_progress"}"#);
    harness.genesys.fault(conflict.times(8));
    let dead_letter = dead_letters(0..1);
    assert_eq!(harness.deliver(&dead_letter).await?, ["m-0"]);
    assert_eq!(harness.state("e-0").await?, "DEFERRED TARGET_UNAVAILABLE");
    let kept = harness.aws.item(&harness.key("e-0")).await?;
    let is_noted = kept.iter().any(|(name, _)| name == "MaybeDelivered");
    assert!(is_noted, "{kept:?}");
    // Another receive reads it from the ledger.
    assert_eq!(harness.deliver(&dead_letter).await?, ["m-0"]);
    assert_eq!(harness.state("e-0").await?, "DEFERRED TARGET_UNAVAILABLE");
    assert_eq!(archived(&harness).await?, 0);
    Ok(())
}

#[tokio::test]
async fn conflict_without_a_lost_answer_is_a_refusal() -> TestResult {
    let harness = harness().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(409));
    assert!(harness.deliver(&dead_letters(0..1)).await?.is_empty());
    assert_eq!(harness.state("e-0").await?, "ARCHIVED TARGET_REFUSED");
    Ok(())
}

#[tokio::test]
async fn mark_is_retried_after_a_conflict() -> TestResult {
    for status in [409, 412, 423] {
        let harness = harness().await?;
        let conflict = Fault::on("PATCH", "/attributes").status(status).times(1);
        harness.genesys.fault(conflict);
        assert!(harness.deliver(&dead_letters(0..1)).await?.is_empty(), "{status}");
        assert_eq!(harness.state("e-0").await?, "COMPLETED");
        assert_eq!(harness.deliveries(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn circuit_stays_closed_when_access_to_interactions_is_denied() -> TestResult {
    let mut harness = harness().await?;
    harness.set("MAX_CONCURRENCY", "1");
    let denied = json!({ "code": "missing.any.division.permissions", "status": 403 });
    harness
        .genesys
        .fault(Fault::on("GET", "/conversations/denied").status(403).body(&denied.to_string()));
    let denied = (0..5).map(|number| {
        Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), "denied")
    });
    let records: Vec<_> = denied.chain(dead_letters(5..11)).collect();
    let back = harness.deliver(&records).await?;
    assert_eq!(back, ["m-0", "m-1", "m-2", "m-3", "m-4"]);
    assert_eq!(harness.state("e-0").await?, "DEFERRED GENESYS_CREDENTIALS");
    assert_eq!(harness.deliveries(), 6);
    Ok(())
}

#[tokio::test]
async fn interaction_is_not_missing_when_a_proxy_responds_404() -> TestResult {
    let harness = harness().await?;
    let proxy = Fault::on("GET", "/conversations/").status(404).body("<html>");
    harness.genesys.fault(proxy);
    assert_eq!(harness.deliver(&dead_letters(0..1)).await?, ["m-0"]);
    assert_eq!(harness.state("e-0").await?, "DEFERRED GENESYS_CREDENTIALS");
    Ok(())
}

#[tokio::test]
async fn attribute_events_are_delivered_without_a_genesys_call() -> TestResult {
    let attributes = r#"{"ANI":"+490000000","segment":"b2b","system.retryAttempt":"1","system.retryStatus":"retrying"}"#;
    let plain = r#"{"ANI":"+490000000"}"#;
    let end = "v2.detail.events.conversation.c-1.customer.end";
    let topic = "v2.detail.events.conversation.c-1.attributes";
    for (number, (topic, attributes)) in
        [(topic, attributes), (topic, plain), (end, attributes)].into_iter().enumerate()
    {
        let harness = harness().await?;
        let body = format!(
            r#"{{"id":"e-{number}","detail-type":"{topic}","source":"aws.partner/genesys.com/x","detail":{{"topicName":"{topic}",
            "eventBody":{{"conversationId":"c-1","attributes":{attributes}}}}}}}"#
        );
        assert!(harness.deliver(&[Record::new("m-1", &body)]).await?.is_empty());
        assert_eq!(harness.deliveries(), 1, "{topic}");
        assert_eq!(harness.genesys.calls_to("GET", "/conversations/").len(), 0);
        assert_eq!(harness.marks(), [""; 0], "{topic}");
        let key = harness.key(&format!("e-{number}"));
        let interaction = harness.aws.attribute(&key, "InteractionId");
        assert_eq!(interaction.await?.as_deref(), Some("c-1"));
    }
    Ok(())
}

#[tokio::test]
async fn slow_target_is_called_once_per_receive() -> TestResult {
    let mut harness = harness().await?;
    harness.set("TARGET_TIMEOUT_SECONDS", "1");
    // The target never responds.
    let slow = Fault::on("POST", "/targets/").delay(std::time::Duration::from_secs(3_600));
    harness.genesys.fault(slow);
    assert_eq!(harness.deliver(&dead_letters(0..1)).await?, ["m-0"]);
    assert_eq!(harness.deliveries(), 1);
    assert_eq!(harness.state("e-0").await?, "DEFERRED TARGET_UNAVAILABLE");
    let counted = harness.aws.attribute(&harness.key("e-0"), "UnansweredAttempts").await?;
    assert_eq!(counted.as_deref(), Some("1"));
    Ok(())
}

#[tokio::test]
async fn evidence_is_never_a_text_of_the_targets_code() -> TestResult {
    let harness = harness().await?;
    let body = json!({
        "version": "1.0", "timestamp": "2026-11-29T08:00:00.000Z",
        "requestContext": { "requestId": "r-1", "functionArn": "arn:aws:lambda:eu-central-1:271828182845:function:crm",
            "condition": "RetriesExhausted", "approximateInvokeCount": 3 },
        "requestPayload": { "id": "e-0", "detail-type": "t", "source": "s", "detail": {} },
        "responsePayload": { "errorMessage": "schema changed, see ticket 400", "errorType": "Error" },
    });
    let record = Record::new("m-1", &body.to_string());
    assert!(harness.deliver(&[record]).await?.is_empty());
    assert_eq!(harness.state("e-0").await?, "COMPLETED");
    assert_eq!(archived(&harness).await?, 0);
    Ok(())
}

#[tokio::test]
async fn events_that_were_never_attempted_go_first() -> TestResult {
    let mut harness = harness().await?;
    harness.set("MAX_CONCURRENCY", "1");
    let mut batch = dead_letters(0..3);
    batch[0] = batch[0].clone().received(5);
    batch[1] = batch[1].clone().received(2);
    assert!(harness.deliver(&batch).await?.is_empty());
    let keys: Vec<_> = harness
        .genesys
        .calls_to("POST", "/targets/")
        .iter()
        .filter_map(|call| call.headers.get("idempotency-key").cloned())
        .collect();
    let expected = ["e-2", "e-1", "e-0"].map(|id| harness.idempotency_key(id));
    assert_eq!(keys, expected);
    Ok(())
}
