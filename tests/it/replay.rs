//! One dead letter's life, on the local AWS and the stand-in.

use std::time::Duration;

use genesys_stand_in::Fault;

use crate::support::world::{invoke, invoke_within};
use crate::support::{Record, TestResult, World, event};

#[tokio::test]
async fn a_dead_letter_is_fetched_marked_delivered_and_completed() -> TestResult {
    let world = World::start().await?;
    let record = Record::dead_letter("m-1", "e-1", "conversation-1").with("RETRY_ATTEMPTS", "185");
    let body = record.0["body"].as_str().unwrap_or_default().to_owned();

    assert!(world.deliver(&[record]).await?.is_empty());

    assert_eq!(world.marks(), ["1 retrying", "1 replay_successful"]);
    assert_eq!(
        world
            .genesys
            .calls_to("GET", "/api/v2/conversations/conversation-1")
            .len(),
        1
    );
    let deliveries = world.genesys.calls_to("POST", "/targets/crm");
    let [delivery] = deliveries.as_slice() else {
        return Err(format!("{} deliveries", deliveries.len()).into());
    };
    assert_eq!(delivery.body, body, "the raw body, byte for byte");
    let header = |name: &str| delivery.headers.get(name).map(String::as_str);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("x-attempt-count"), Some("186"));
    assert_eq!(header("x-resubmit-source"), Some("genesys-replay"));
    assert_eq!(header("idempotency-key"), Some(world.key("e-1").as_str()));

    let item = world.aws.item(&world.key("e-1")).await?;
    let value = |name: &str| {
        item.iter()
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(value("Status"), Some("COMPLETED"));
    assert_eq!(value("Step"), Some("REPLAYED"));
    assert_eq!(value("Attempts"), Some("1"));
    assert_eq!(value("InteractionId"), Some("conversation-1"));
    assert_eq!(value("Category"), Some("ENDPOINT_UNREACHABLE"));
    assert_eq!(value("MessageId"), Some("m-1"));
    assert_eq!(value("FailureCode"), None);
    for name in [
        "FirstSeenAt",
        "ProcessedAt",
        "ExpiresAt",
        "LeaseUntil",
        "Owner",
        "Target",
    ] {
        assert!(value(name).is_some(), "{name} in {item:?}");
    }
    let stored = world
        .genesys
        .attributes("conversation-1", "conversation-1-customer");
    assert_eq!(
        stored.get("system.retryStatus").map(String::as_str),
        Some("replay_successful")
    );
    Ok(())
}

#[tokio::test]
async fn the_same_event_in_another_message_is_not_delivered_again() -> TestResult {
    let world = World::start().await?;
    world
        .deliver(&[Record::dead_letter("m-1", "e-1", "c-1")])
        .await?;
    world.genesys.clear_calls();

    let redriven = Record::dead_letter("m-2", "e-1", "c-1");
    assert!(world.deliver(&[redriven]).await?.is_empty());

    assert!(
        world.genesys.calls().is_empty(),
        "a finished event needs no call at all"
    );
    Ok(())
}

#[tokio::test]
async fn the_same_event_twice_in_a_batch_is_delivered_once() -> TestResult {
    let world = World::start().await?;
    let twins = [
        Record::dead_letter("m-1", "e-1", "c-1"),
        Record::dead_letter("m-2", "e-1", "c-1"),
    ];
    assert!(world.deliver(&twins).await?.is_empty());
    assert_eq!(world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn twins_share_the_fate_of_the_first() -> TestResult {
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(422));
    let twins = [
        Record::dead_letter("m-1", "e-1", "c-1"),
        Record::dead_letter("m-2", "e-1", "c-1"),
    ];
    assert_eq!(world.deliver(&twins).await?, ["m-1", "m-2"]);
    assert_eq!(world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn the_same_event_for_two_targets_is_two_events() -> TestResult {
    let mut world = World::start().await?;
    world
        .deliver(&[Record::dead_letter("m-1", "e-1", "c-1")])
        .await?;
    let other = format!("{}/targets/billing", world.genesys.url());
    world.set("REPLAY_TARGET", &other);
    world
        .deliver(&[Record::dead_letter("m-2", "e-1", "c-1")])
        .await?;
    assert_eq!(world.genesys.calls_to("POST", "/targets/crm").len(), 1);
    assert_eq!(world.genesys.calls_to("POST", "/targets/billing").len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_attempt_that_fails_in_passing_is_repeated_here() -> TestResult {
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(503).times(2));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert!(world.deliver(&[record]).await?.is_empty());
    assert_eq!(
        world.marks(),
        [
            "1 retrying",
            "2 retrying",
            "3 retrying",
            "3 replay_successful"
        ]
    );
    let counts: Vec<_> = world
        .genesys
        .calls_to("POST", "/targets/")
        .iter()
        .filter_map(|call| call.headers.get("x-attempt-count").cloned())
        .collect();
    assert_eq!(counts, ["1", "2", "3"]);
    assert_eq!(
        world.genesys.calls_to("GET", "/conversations/").len(),
        1,
        "fetched once a delivery"
    );
    assert_eq!(
        world
            .aws
            .attribute(&world.key("e-1"), "Attempts")
            .await?
            .as_deref(),
        Some("3")
    );
    Ok(())
}

#[tokio::test]
async fn attempts_count_on_over_deliveries() -> TestResult {
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(503).times(4));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(world.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    let key = world.key("e-1");
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("DEFERRED")
    );
    assert_eq!(
        world.aws.attribute(&key, "FailureCode").await?.as_deref(),
        Some("TARGET_UNAVAILABLE")
    );

    assert!(world.deliver(&[record.received(2)]).await?.is_empty());
    assert_eq!(
        world.marks(),
        [
            "1 retrying",
            "2 retrying",
            "3 retrying",
            "4 retrying",
            "5 retrying",
            "5 replay_successful"
        ]
    );
    assert_eq!(world.aws.attribute(&key, "FailureCode").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_long_wait_is_not_spent_in_the_function() -> TestResult {
    let world = World::start().await?;
    world.genesys.fault(
        Fault::on("POST", "/targets/")
            .status(429)
            .header("Retry-After", "300"),
    );
    assert_eq!(
        world
            .deliver(&[Record::dead_letter("m-1", "e-1", "c-1")])
            .await?,
        ["m-1"]
    );
    assert_eq!(world.deliveries(), 1);
    let code = world
        .aws
        .attribute(&world.key("e-1"), "FailureCode")
        .await?;
    assert_eq!(code.as_deref(), Some("TARGET_RATE_LIMITED"));
    Ok(())
}

#[tokio::test]
async fn at_the_last_receive_the_event_is_given_up_as_exhausted() -> TestResult {
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(503));
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(10);
    assert_eq!(world.deliver(&[record]).await?, ["m-1"]);
    assert_eq!(
        world.marks(),
        [
            "1 retrying",
            "2 retrying",
            "3 retrying",
            "3 exhausted_retries"
        ]
    );
    let key = world.key("e-1");
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("FAILED")
    );
    assert_eq!(
        world.aws.attribute(&key, "FailureCode").await?.as_deref(),
        Some("EXHAUSTED")
    );
    Ok(())
}

#[tokio::test]
async fn what_the_target_refuses_for_good_is_marked_and_returned_without_further_calls()
-> TestResult {
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(422));
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(world.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    assert_eq!(world.marks(), ["1 retrying", "1 replay_failed"]);
    let key = world.key("e-1");
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("FAILED")
    );
    assert_eq!(
        world.aws.attribute(&key, "FailureCode").await?.as_deref(),
        Some("TARGET_REFUSED")
    );

    world.genesys.clear_calls();
    assert_eq!(world.deliver(&[record.received(2)]).await?, ["m-1"]);
    assert!(world.genesys.calls().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_interaction_that_does_not_exist_is_permanent() -> TestResult {
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("GET", "/conversations/c-1").status(404));
    assert_eq!(
        world
            .deliver(&[Record::dead_letter("m-1", "e-1", "c-1")])
            .await?,
        ["m-1"]
    );
    assert_eq!(world.deliveries(), 0);
    let code = world
        .aws
        .attribute(&world.key("e-1"), "FailureCode")
        .await?;
    assert_eq!(code.as_deref(), Some("INTERACTION_NOT_FOUND"));
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_never_give_an_event_up() -> TestResult {
    let mut world = World::start().await?;
    world.set("GENESYS_CLIENT_SECRET", "wrong");
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(12);
    assert_eq!(world.deliver(&[record]).await?, ["m-1"]);
    assert_eq!(world.deliveries(), 0);
    let key = world.key("e-1");
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("DEFERRED")
    );
    assert_eq!(
        world.aws.attribute(&key, "FailureCode").await?.as_deref(),
        Some("GENESYS_CREDENTIALS")
    );
    Ok(())
}

#[tokio::test]
async fn a_target_that_refuses_our_credentials_is_given_up_only_when_receives_run_out() -> TestResult
{
    let world = World::start().await?;
    world
        .genesys
        .fault(Fault::on("POST", "/targets/").status(403));
    let key = world.key("e-1");
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(world.deliver(&[record.clone().received(9)]).await?, ["m-1"]);
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("DEFERRED")
    );
    assert_eq!(world.deliver(&[record.received(10)]).await?, ["m-1"]);
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("FAILED")
    );
    assert_eq!(
        world.marks().last().map(String::as_str),
        Some("2 exhausted_retries")
    );
    Ok(())
}

#[tokio::test]
async fn what_was_delivered_but_not_marked_is_only_marked_the_next_time() -> TestResult {
    let world = World::start().await?;
    world.genesys.fault(
        Fault::on("PATCH", "/attributes")
            .body_contains("replay_successful")
            .status(500)
            .times(3),
    );
    let record = Record::dead_letter("m-1", "e-1", "c-1");
    assert_eq!(world.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    let key = world.key("e-1");
    assert_eq!(
        world.aws.attribute(&key, "Step").await?.as_deref(),
        Some("REPLAYED")
    );
    let code = world.aws.attribute(&key, "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("RETRY_STATE_NOT_WRITTEN"));

    world.genesys.clear_calls();
    assert!(world.deliver(&[record.received(2)]).await?.is_empty());
    assert_eq!(world.deliveries(), 0, "delivered once is delivered");
    assert_eq!(
        world.marks(),
        ["1 replay_successful"],
        "with the attempt that was accepted"
    );
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("COMPLETED")
    );
    assert_eq!(
        world.aws.attribute(&key, "Attempts").await?.as_deref(),
        Some("1")
    );
    Ok(())
}

#[tokio::test]
async fn what_was_delivered_is_completed_at_the_last_receive_though_not_marked() -> TestResult {
    let world = World::start().await?;
    world.genesys.fault(
        Fault::on("PATCH", "/attributes")
            .body_contains("replay_successful")
            .status(500),
    );
    let record = Record::dead_letter("m-1", "e-1", "c-1").received(10);
    assert!(
        world.deliver(&[record]).await?.is_empty(),
        "it was delivered: nothing may come back"
    );
    let key = world.key("e-1");
    assert_eq!(
        world.aws.attribute(&key, "Status").await?.as_deref(),
        Some("COMPLETED")
    );
    let code = world.aws.attribute(&key, "FailureCode").await?;
    assert_eq!(code.as_deref(), Some("RETRY_STATE_NOT_WRITTEN"));
    Ok(())
}

#[tokio::test]
async fn an_event_without_interaction_needs_no_genesys_call() -> TestResult {
    let world = World::start().await?;
    let body = r#"{"id":"a-1","detail-type":"v2.audits.entitytype.{id}","source":"aws.partner/genesys.com/x",
        "detail":{"topicName":"v2.audits.entitytype.Queue.entityid.5","eventBody":{"id":"5","conversationId":"not-one"}}}"#;
    assert!(world.deliver(&[Record::new("m-1", body)]).await?.is_empty());
    assert_eq!(world.genesys.calls().len(), world.deliveries());
    assert_eq!(world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn the_tutorials_api_is_spoken_where_an_organisation_is_set() -> TestResult {
    let mut world = World::start().await?;
    world.set("GENESYS_ORG_ID", "acme");
    let record = Record::new("m-1", r#"{"interactionId":"i-1"}"#);
    assert!(world.deliver(&[record]).await?.is_empty());
    assert_eq!(
        world
            .genesys
            .calls_to("GET", "/api/v2/interactions/i-1")
            .len(),
        1
    );
    assert_eq!(
        world
            .genesys
            .calls_to("PATCH", "/api/v2/interactions/i-1")
            .len(),
        2
    );
    assert_eq!(world.marks(), ["1 retrying", "1 replay_successful"]);
    let status = world.aws.attribute(&world.key("m-1"), "Status").await?;
    assert_eq!(
        status.as_deref(),
        Some("COMPLETED"),
        "the message id is the key"
    );
    Ok(())
}

#[tokio::test]
async fn with_target_none_the_interaction_is_marked_and_nothing_is_sent() -> TestResult {
    let mut world = World::start().await?;
    world.set("REPLAY_TARGET", "none");
    assert!(
        world
            .deliver(&[Record::dead_letter("m-1", "e-1", "c-1")])
            .await?
            .is_empty()
    );
    assert_eq!(world.deliveries(), 0);
    assert_eq!(world.marks(), ["1 retrying", "1 replay_successful"]);
    let status = world.aws.attribute("e-1|none", "Status").await?;
    assert_eq!(status.as_deref(), Some("COMPLETED"));
    Ok(())
}

#[tokio::test]
async fn without_retry_state_genesys_is_not_called() -> TestResult {
    let mut world = World::start().await?;
    world.set("RETRY_STATE", "off");
    world.set("GENESYS_CLIENT_SECRET", "");
    assert!(
        world
            .deliver(&[Record::dead_letter("m-1", "e-1", "c-1")])
            .await?
            .is_empty()
    );
    assert_eq!(world.genesys.calls().len(), 1);
    assert_eq!(world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn with_best_effort_no_failed_genesys_call_stops_a_replay() -> TestResult {
    let mut world = World::start().await?;
    world.set("RETRY_STATE", "best-effort");
    for (event_id, fault) in [
        (
            "e-1",
            Fault::on("POST", "/oauth/token").status(400).times(4),
        ),
        (
            "e-2",
            Fault::on("GET", "/conversations/").status(404).times(1),
        ),
        ("e-3", Fault::on("PATCH", "/conversations/").status(500)),
    ] {
        world.genesys.fault(fault);
        assert!(
            world
                .deliver(&[Record::dead_letter(event_id, event_id, "c-1")])
                .await?
                .is_empty(),
            "{event_id}"
        );
        world.genesys.clear_faults();
    }
    assert_eq!(world.deliveries(), 3);
    Ok(())
}

#[tokio::test]
async fn what_was_malformed_is_not_delivered_again_unless_told() -> TestResult {
    let mut world = World::start().await?;
    let record = Record::new("m-1", "<html>")
        .with("ERROR_CODE", "INVALID_JSON")
        .with("RULE_ARN", "arn:rule");
    assert_eq!(world.deliver(std::slice::from_ref(&record)).await?, ["m-1"]);
    assert!(world.genesys.calls().is_empty());

    world.set("REPLAY_PERMANENT", "true");
    assert!(world.deliver(&[record]).await?.is_empty());
    assert_eq!(
        world
            .genesys
            .calls_to("POST", "/targets/")
            .first()
            .map(|call| call.body.as_str()),
        Some("<html>")
    );
    Ok(())
}

#[tokio::test]
async fn near_the_deadline_nothing_starts() -> TestResult {
    let world = World::start().await?;
    let records: Vec<_> = (1..=5)
        .map(|number| Record::dead_letter(&format!("m-{number}"), &format!("e-{number}"), "c-1"))
        .collect();
    let answer = invoke_within(
        &world.function()?,
        event(&records),
        Duration::from_millis(900),
    )
    .await??;
    assert_eq!(answer, ["m-1", "m-2", "m-3", "m-4", "m-5"]);
    assert!(world.genesys.calls().is_empty());
    assert!(
        world.aws.item(&world.key("e-1")).await?.is_empty(),
        "nothing was claimed"
    );
    Ok(())
}

#[tokio::test]
async fn what_hangs_is_cut_off_before_the_deadline() -> TestResult {
    let world = World::start().await?;
    world.genesys.fault(Fault::on("POST", "/targets/").hang());
    let started = std::time::Instant::now();
    let records = [Record::dead_letter("m-1", "e-1", "c-1")];
    let answer =
        invoke_within(&world.function()?, event(&records), Duration::from_secs(2)).await??;
    assert_eq!(answer, ["m-1"]);
    assert_eq!(world.deliveries(), 1);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "long before the client's own timeout"
    );
    Ok(())
}

#[tokio::test]
async fn one_function_serves_many_batches() -> TestResult {
    let world = World::start().await?;
    let function = world.function()?;
    for number in 1..=3 {
        let id = format!("e-{number}");
        let records = [Record::dead_letter(&id, &id, "c-1")];
        assert!(invoke(&function, event(&records)).await??.is_empty());
    }
    assert_eq!(world.deliveries(), 3);
    assert_eq!(
        world.genesys.calls_to("POST", "/oauth/token").len(),
        1,
        "one token for all"
    );
    Ok(())
}
