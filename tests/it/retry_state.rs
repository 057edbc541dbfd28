//! The marks on interactions, and failures of marks.

use genesys_stand_in::Fault;
use genesys_test_support::{Record, ReplayHarness, TestResult};

#[tokio::test]
async fn wrong_credentials_never_reject_an_event() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("GENESYS_CLIENT_SECRET", "wrong");
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(12);
    assert_eq!(harness.deliver(&[record]).await?, ["m-1"]);
    assert_eq!(harness.deliveries(), 0);
    assert_eq!(harness.state("e-1").await?, "DEFERRED GENESYS_CREDENTIALS");
    Ok(())
}

#[tokio::test]
async fn delivered_event_is_only_marked_on_the_next_delivery() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(
        Fault::on("PATCH", "/attributes").body_contains("replay_successful").status(500).times(3),
    );
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(harness.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    let key = harness.key("e-1");
    assert_eq!(harness.aws.attribute(&key, "Step").await?.as_deref(), Some("REPLAYED"));
    let code = harness.aws.attribute(&key, "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("RETRY_STATE_NOT_WRITTEN"));

    harness.genesys.clear_calls();
    assert!(harness.deliver(&[record.received(2)]).await?.is_empty());
    assert_eq!(harness.deliveries(), 0, "delivered once is delivered");
    assert_eq!(harness.marks(), ["1 replay_successful"], "with the attempt that was accepted");
    assert_eq!(harness.aws.attribute(&key, "Status").await?.as_deref(), Some("COMPLETED"));
    assert_eq!(harness.aws.attribute(&key, "Attempts").await?.as_deref(), Some("1"));
    Ok(())
}

#[tokio::test]
async fn delivered_event_is_completed_unmarked_at_the_last_receive() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness
        .genesys
        .fault(Fault::on("PATCH", "/attributes").body_contains("replay_successful").status(500));
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(200);
    assert!(
        harness.deliver(&[record]).await?.is_empty(),
        "no message of a delivered event returns"
    );
    assert_eq!(harness.state("e-1").await?, "COMPLETED RETRY_STATE_NOT_WRITTEN");
    Ok(())
}

#[tokio::test]
async fn event_without_an_interaction_needs_no_genesys_call() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let body = r#"{"id":"a-1","detail-type":"v2.audits.entitytype.{id}","source":"aws.partner/genesys.com/x",
        "detail":{"topicName":"v2.audits.entitytype.Queue.entityid.5","eventBody":{"id":"5","conversationId":"not-one"}}}"#;
    assert!(harness.deliver(&[Record::new("m-1", body)]).await?.is_empty());
    assert_eq!(harness.genesys.calls().len(), harness.deliveries());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn legacy_sample_api_is_used_when_an_organisation_is_set() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("GENESYS_ORG_ID", "acme");
    let record = Record::new("m-1", r#"{"interactionId":"i-1"}"#);
    assert!(harness.deliver(&[record]).await?.is_empty());
    assert_eq!(harness.genesys.calls_to("GET", "/api/v2/interactions/i-1").len(), 1);
    assert_eq!(harness.genesys.calls_to("PATCH", "/api/v2/interactions/i-1").len(), 2);
    assert_eq!(harness.marks(), ["1 retrying", "1 replay_successful"]);
    let status = harness.aws.attribute(&harness.key("m-1"), "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"), "the message id is the key");
    Ok(())
}

#[tokio::test]
async fn target_none_marks_the_interaction_without_a_delivery() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "none");
    assert!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?.is_empty());
    assert_eq!(harness.deliveries(), 0);
    assert_eq!(harness.marks(), ["1 retrying", "1 replay_successful"]);
    let status = harness.aws.attribute("e-1|none", "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"));
    Ok(())
}

#[tokio::test]
async fn retry_state_off_makes_no_genesys_call() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("RETRY_STATE", "off");
    harness.set("GENESYS_CLIENT_SECRET", "");
    assert!(harness.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?.is_empty());
    assert_eq!(harness.genesys.calls().len(), 1);
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn best_effort_replays_when_genesys_calls_fail() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("RETRY_STATE", "best-effort");
    for (event_id, fault) in [
        ("e-1", Fault::on("POST", "/oauth/token").status(400).times(4)),
        ("e-2", Fault::on("GET", "/conversations/").status(404).times(1)),
        ("e-3", Fault::on("PATCH", "/conversations/").status(500)),
    ] {
        harness.genesys.fault(fault);
        assert!(
            harness.deliver(&[Record::dead_letter(event_id, event_id, "c-1")]).await?.is_empty(),
            "{event_id}"
        );
        harness.genesys.clear_faults();
    }
    assert_eq!(harness.deliveries(), 3);
    Ok(())
}
