//! The replay of a dead letter, on the local AWS and the stand-in.

use std::time::Duration;

use genesys_stand_in::Fault;
use genesys_test_support::replay_harness::{invoke, invoke_within};
use genesys_test_support::{Record, ReplayHarness, TestResult, event};

#[tokio::test]
async fn dead_letter_is_fetched_marked_delivered_and_completed() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let record = Record::dead_letter("m-1", "e-1", "conversation-1").with("RETRY_ATTEMPTS", "185");
    let body = record.0["body"].as_str().unwrap_or_default().to_owned();

    assert!(harness.deliver(&[record]).await?.is_empty());

    assert_eq!(harness.marks(), ["1 retrying", "1 replay_successful"]);
    assert_eq!(harness.genesys.calls_to("GET", "/api/v2/conversations/conversation-1").len(), 1);
    let deliveries = harness.genesys.calls_to("POST", "/targets/crm");
    let [delivery] = deliveries.as_slice() else {
        return Err(format!("{} deliveries", deliveries.len()).into());
    };
    assert_eq!(delivery.body, body, "the raw body, byte for byte");
    let header = |name: &str| delivery.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("x-attempt-count"), Some("186"));
    assert_eq!(header("x-resubmit-source"), Some("genesys-replay"));
    let key = harness.idempotency_key("e-1");
    assert_eq!(header("idempotency-key"), Some(key.as_str()));

    let item = harness.aws.item(&harness.key("e-1")).await?;
    let value =
        |name: &str| item.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    assert_eq!(value("Status"), Some("COMPLETED"));
    assert_eq!(value("Step"), Some("REPLAYED"));
    assert_eq!(value("Attempts"), Some("1"));
    assert_eq!(value("InteractionId"), Some("conversation-1"));
    assert_eq!(value("Category"), Some("ENDPOINT_UNREACHABLE"));
    assert_eq!(value("MessageId"), Some("m-1"));
    assert_eq!(value("FailureCode"), None);
    for name in ["FirstSeenAt", "ProcessedAt", "ExpiresAt", "LeaseUntil", "Owner", "Target"] {
        assert!(value(name).is_some(), "{name} in {item:?}");
    }
    let stored = harness.genesys.attributes("conversation-1", "conversation-1-customer");
    assert_eq!(stored.get("system.retryStatus").map(String::as_str), Some("replay_successful"));
    Ok(())
}

#[tokio::test]
async fn duplicate_in_another_message_is_not_delivered() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?;
    harness.genesys.clear_calls();

    let redriven = Record::dead_letter("m-2", "e-1", "c-1");
    assert!(harness.deliver(&[redriven]).await?.is_empty());

    assert!(harness.genesys.calls().is_empty(), "a finished event needs no call at all");
    Ok(())
}

#[tokio::test]
async fn duplicate_in_one_batch_is_delivered_once() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let duplicates =
        [Record::dead_letter("m-1", "e-1", "c-1"), Record::dead_letter("m-2", "e-1", "c-1")];
    assert!(harness.deliver(&duplicates).await?.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn duplicate_in_one_batch_has_the_outcome_of_the_first() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let duplicates =
        [Record::dead_letter("m-1", "e-1", "c-1"), Record::dead_letter("m-2", "e-1", "c-1")];
    assert_eq!(harness.deliver(&duplicates).await?, ["m-1", "m-2"]);
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn event_is_delivered_to_each_of_two_targets() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?;
    let other = format!("{}/targets/billing", harness.genesys.url());
    harness.set("REPLAY_TARGET", &other);
    harness.deliver(&[Record::dead_letter("m-2", "e-1", "c-1")]).await?;
    assert_eq!(harness.genesys.calls_to("POST", "/targets/crm").len(), 1);
    assert_eq!(harness.genesys.calls_to("POST", "/targets/billing").len(), 1);
    Ok(())
}

#[tokio::test]
async fn transient_failure_is_retried_in_the_same_invocation() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(503).times(2));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert!(harness.deliver(&[record]).await?.is_empty());
    assert_eq!(harness.marks(), ["1 retrying", "2 retrying", "3 retrying", "3 replay_successful"]);
    let counts: Vec<_> = harness
        .genesys
        .calls_to("POST", "/targets/")
        .iter()
        .filter_map(|call| call.headers.get("x-attempt-count").cloned())
        .collect();
    assert_eq!(counts, ["1", "2", "3"]);
    assert_eq!(
        harness.genesys.calls_to("GET", "/conversations/").len(),
        1,
        "fetched once a delivery"
    );
    assert_eq!(harness.aws.attribute(&harness.key("e-1"), "Attempts").await?.as_deref(), Some("3"));
    Ok(())
}

#[tokio::test]
async fn attempts_are_counted_over_all_deliveries() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(503).times(4));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(harness.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    let key = harness.key("e-1");
    assert_eq!(harness.state("e-1").await?, "DEFERRED TARGET_UNAVAILABLE");

    assert!(harness.deliver(&[record.received(2)]).await?.is_empty());
    assert_eq!(
        harness.marks(),
        [
            "1 retrying",
            "2 retrying",
            "3 retrying",
            "4 retrying",
            "5 retrying",
            "5 replay_successful"
        ]
    );
    assert_eq!(harness.aws.attribute(&key, "FailureCode").await?, None);
    Ok(())
}

#[tokio::test]
async fn long_retry_after_defers_the_message() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(429).header("Retry-After", "300"));
    assert_eq!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?, ["m-1"]);
    assert_eq!(harness.deliveries(), 1);
    let code = harness.aws.attribute(&harness.key("e-1"), "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("TARGET_RATE_LIMITED"));
    Ok(())
}

#[tokio::test]
async fn event_is_rejected_as_exhausted_at_the_last_receive() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(503));
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(200);
    assert_eq!(harness.deliver(&[record]).await?, ["m-1"]);
    assert_eq!(harness.marks(), ["1 retrying", "2 retrying", "3 retrying", "3 exhausted_retries"]);
    assert_eq!(harness.state("e-1").await?, "FAILED EXHAUSTED");
    Ok(())
}

#[tokio::test]
async fn refused_event_is_marked_and_returned_without_more_calls() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(422));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(harness.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    assert_eq!(harness.marks(), ["1 retrying", "1 replay_failed"]);
    assert_eq!(harness.state("e-1").await?, "FAILED TARGET_REFUSED");

    harness.genesys.clear_calls();
    assert_eq!(harness.deliver(&[record.received(2)]).await?, ["m-1"]);
    assert!(harness.genesys.calls().is_empty());
    Ok(())
}

#[tokio::test]
async fn missing_interaction_is_a_permanent_failure() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("GET", "/conversations/c-1").status(404));
    assert_eq!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?, ["m-1"]);
    assert_eq!(harness.deliveries(), 0);
    let code = harness.aws.attribute(&harness.key("e-1"), "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("INTERACTION_NOT_FOUND"));
    let asked = harness.genesys.calls_to("GET", "/conversations/c-1");
    assert_eq!(asked.len(), 1, "the interaction is not fetched again for its mark");
    Ok(())
}

#[tokio::test]
async fn refused_credentials_reject_the_event_at_the_last_receive() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").status(403));
    let key = harness.key("e-1");
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(harness.deliver(&[record.clone().received(199)]).await?, ["m-1"]);
    assert_eq!(harness.aws.attribute(&key, "Status").await?.as_deref(), Some("DEFERRED"));
    assert_eq!(harness.deliver(&[record.received(200)]).await?, ["m-1"]);
    assert_eq!(harness.aws.attribute(&key, "Status").await?.as_deref(), Some("FAILED"));
    assert_eq!(harness.marks().last().map(String::as_str), Some("2 exhausted_retries"));
    Ok(())
}

#[tokio::test]
async fn malformed_event_is_delivered_only_with_replay_malformed() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let record = Record::new("m-1", "<html>")
        .with("ERROR_CODE", "INVALID_JSON")
        .with("RULE_ARN", "arn:rule");
    assert_eq!(harness.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    assert!(harness.genesys.calls().is_empty());

    harness.set("REPLAY_MALFORMED", "true");
    assert!(harness.deliver(&[record]).await?.is_empty());
    assert_eq!(
        harness.genesys.calls_to("POST", "/targets/").first().map(|call| call.body.as_str()),
        Some("<html>")
    );
    Ok(())
}

#[tokio::test]
async fn deadline_starts_no_record_when_near() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let records: Vec<_> = (1..=5)
        .map(|number| Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), "c-1"))
        .collect();
    let answer =
        invoke_within(&harness.function()?, event(&records), Duration::from_millis(900)).await??;
    assert_eq!(answer, ["m-1", "m-2", "m-3", "m-4", "m-5"]);
    assert!(harness.genesys.calls().is_empty());
    assert!(harness.aws.item(&harness.key("e-1")).await?.is_empty(), "nothing was claimed");
    Ok(())
}

#[tokio::test]
async fn function_shares_one_token_between_batches() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let function = harness.function()?;
    for number in 1..=3 {
        let id = format!("e-{number}");
        let records = [Record::dead_letter(&id, &id, "c-1")];
        assert!(invoke(&function, event(&records)).await??.is_empty());
    }
    assert_eq!(harness.deliveries(), 3);
    assert_eq!(harness.genesys.calls_to("POST", "/oauth/token").len(), 1, "one token for all");
    Ok(())
}
