//! The time of the retries, and the age of events, on real adapters.

use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;
use genesys_replay::clock::{Clock, SystemClock, Timestamp};
use genesys_stand_in::Fault;
use genesys_test_support::{Record, ReplayHarness, TestResult};

const HOUR_MS: u64 = 3_600_000;

fn ago(millis: u64) -> Timestamp {
    Timestamp::from_millis(SystemClock.now().as_millis() - millis)
}

async fn harness(status: u16) -> Result<ReplayHarness, Box<dyn Error>> {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    harness.genesys.fault(Fault::on("POST", "/targets/").status(status));
    Ok(harness)
}

/// Sets the beginning of an event's retries.
async fn retried_since(harness: &ReplayHarness, event_id: &str, since: Timestamp) -> TestResult {
    harness
        .aws
        .dynamodb()
        .update_item()
        .table_name(&harness.aws.table)
        .key("EventId", AttributeValue::S(harness.key(event_id)))
        .update_expression("SET RetrySince = :since")
        .expression_attribute_values(":since", AttributeValue::N(since.as_millis().to_string()))
        .send()
        .await?;
    Ok(())
}

fn dead_letter() -> Record {
    Record::dead_letter("m-1", "e-1", "c-1")
}

#[tokio::test]
async fn event_is_retried_for_a_time_and_not_a_number_of_receives() -> TestResult {
    // An outage, and a configuration error.
    for status in [503, 404] {
        let harness = harness(status).await?;
        assert_eq!(harness.deliver(&[dead_letter()]).await?, ["m-1"]);
        for (hours, receives, is_last) in [(1, 150, false), (71, 199, false), (73, 3, true)] {
            retried_since(&harness, "e-1", ago(hours * HOUR_MS)).await?;
            let back = harness.deliver(&[dead_letter().received(receives)]).await?;
            assert_eq!(back.is_empty(), is_last, "{status}, {hours} h");
        }
        assert_eq!(harness.state("e-1").await?, "ARCHIVED EXHAUSTED");
        let last = harness.marks().last().cloned().unwrap_or_default();
        assert!(last.ends_with("exhausted_retries"), "{last}");
    }
    Ok(())
}

#[tokio::test]
async fn retry_time_is_a_setting() -> TestResult {
    let mut harness = harness(503).await?;
    harness.set("RETRY_FOR_HOURS", "1");
    assert_eq!(harness.deliver(&[dead_letter()]).await?, ["m-1"]);
    retried_since(&harness, "e-1", ago(HOUR_MS + 1_000)).await?;
    assert!(harness.deliver(&[dead_letter().received(2)]).await?.is_empty());
    assert_eq!(harness.state("e-1").await?, "ARCHIVED EXHAUSTED");
    Ok(())
}

#[tokio::test]
async fn last_attempt_comes_three_receives_before_the_queue_parks() -> TestResult {
    let harness = harness(503).await?;
    let queue = harness.aws.create_queue(false).await?;
    let parking = harness.aws.create_queue(false).await?;
    let policy = serde_json::json!({ "deadLetterTargetArn": parking, "maxReceiveCount": 7 });
    let sqs = aws_sdk_sqs::Client::new(&harness.aws.config());
    sqs.set_queue_attributes()
        .queue_url(harness.aws.queue_url(&queue).await?)
        .attributes(aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy, policy.to_string())
        .send()
        .await?;
    let dead_letter = dead_letter().in_queue(&queue, "receipt");
    assert_eq!(harness.deliver(&[dead_letter.clone().received(3)]).await?, ["m-1"]);
    assert!(harness.deliver(&[dead_letter.received(4)]).await?.is_empty());
    assert_eq!(harness.state("e-1").await?, "ARCHIVED EXHAUSTED");
    Ok(())
}

#[tokio::test]
async fn event_is_rejected_after_the_time_when_access_is_denied() -> TestResult {
    let harness = harness(200).await?;
    let denied = r#"{"code":"missing.any.division.permissions","status":403}"#;
    harness.genesys.fault(Fault::on("GET", "/conversations/").status(403).body(denied));
    assert_eq!(harness.deliver(&[dead_letter()]).await?, ["m-1"]);
    retried_since(&harness, "e-1", ago(73 * HOUR_MS)).await?;
    assert!(harness.deliver(&[dead_letter().received(2)]).await?.is_empty());
    assert_eq!(harness.state("e-1").await?, "ARCHIVED GENESYS_CREDENTIALS");
    assert_eq!(harness.deliveries(), 0);
    Ok(())
}

/// Returns a dead letter of an event of this age in seconds.
fn aged(seconds: u64) -> Record {
    let mut record = dead_letter();
    let body = record.0["body"].as_str().unwrap_or_default();
    let mut event: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    event["time"] = ago(seconds * 1_000).to_string().into();
    record.0["body"] = event.to_string().into();
    record
}

#[tokio::test]
async fn stale_event_is_archived_without_a_call() -> TestResult {
    let mut harness = harness(503).await?;
    assert_eq!(harness.deliver(&[aged(100_000)]).await?, ["m-1"], "off by default");
    harness.set("STALE_AFTER_SECONDS", "3600");
    harness.genesys.clear_calls();
    // After an attempt, the interaction gets the final mark.
    assert!(harness.deliver(&[aged(3_700)]).await?.is_empty());
    assert_eq!(harness.state("e-1").await?, "ARCHIVED STALE");
    assert_eq!(harness.deliveries(), 0);
    assert_eq!(harness.marks(), ["4 exhausted_retries"]);

    // An operator replay delivers it.
    harness.genesys.clear_faults();
    let again = aged(3_700).with("ReplayPlan", "plan-1");
    assert!(harness.deliver(&[again]).await?.is_empty());
    assert_eq!(harness.state("e-1").await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn stale_event_without_an_attempt_gets_no_mark() -> TestResult {
    let mut harness = harness(200).await?;
    harness.genesys.clear_faults();
    harness.set("STALE_AFTER_SECONDS", "3600");
    assert!(harness.deliver(&[aged(3_700)]).await?.is_empty());
    assert_eq!(harness.state("e-1").await?, "ARCHIVED STALE");
    assert_eq!(harness.genesys.calls_to("GET", "/conversations/").len(), 0);
    let mut young = aged(3_000);
    let body = young.0["body"].as_str().unwrap_or_default();
    young.0["body"] = body.replace("e-1", "e-2").into();
    assert!(harness.deliver(&[young]).await?.is_empty());
    assert_eq!(harness.state("e-2").await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn former_name_of_the_setting_for_malformed_events_works() -> TestResult {
    for name in ["REPLAY_MALFORMED", "REPLAY_PERMANENT"] {
        let mut harness = ReplayHarness::start().await?;
        harness.set(name, "true");
        let dead_letter = dead_letter().with("ERROR_CODE", "INVALID_JSON");
        assert!(harness.deliver(&[dead_letter]).await?.is_empty(), "{name}");
        assert_eq!(harness.deliveries(), 1, "{name}");
    }
    Ok(())
}
