//! Upstreams that are down, and the shutdown of the process.

use std::time::Duration;

use genesys_stand_in::Fault;
use genesys_test_support::replay_harness::{invoke, invoke_within};
use genesys_test_support::{
    Function, Invocation, Record, ReplayHarness, TestResult, aws_at, event, eventually,
};
use serde_json::{Value, json};

fn records(count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| {
            let id = number.to_string();
            Record::dead_letter(&format!("m-{id}"), &format!("e-{id}"), &format!("c-{id}"))
        })
        .collect()
}

#[tokio::test]
async fn circuit_of_one_target_does_not_stop_another() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    harness.set("REPLAY_TARGET", "original");
    harness.set("MAX_CONCURRENCY", "1");
    let gone = "arn:aws:sqs:eu-west-9:271828182845:gone";
    let alive = harness.aws.create_queue(false).await?;
    // The local Lambda does not respond for this target.
    let mut batch: Vec<_> =
        records(20).into_iter().map(|record| record.with("TARGET_ARN", gone)).collect();
    batch.push(Record::dead_letter("alive", "alive", "c-1").with("TARGET_ARN", &alive));
    let answer = harness.deliver(&batch).await?;
    assert!(!answer.contains(&"alive".to_owned()));
    assert_eq!(harness.aws.receive(&alive, 0).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_reject_no_event_of_a_queue() -> TestResult {
    let mut harness = ReplayHarness::start().await?;
    let bucket = harness.aws.create_bucket().await?;
    harness.set("ARCHIVE_BUCKET", &bucket);
    harness.set("GENESYS_CLIENT_SECRET", "wrong");
    let batch: Vec<_> = records(50).into_iter().map(|record| record.received(12)).collect();
    assert_eq!(harness.deliver(&batch).await?.len(), 50);
    let tokens = harness.genesys.calls_to("POST", "/oauth/token").len();
    // Five failures open the circuit. Nine more records may be in flight then.
    assert!(tokens < 15, "{tokens} token requests");
    assert!(harness.aws.objects(&bucket).await?.is_empty(), "nothing is archived");
    assert_eq!(harness.deliveries(), 0);
    Ok(())
}

#[tokio::test]
async fn event_without_interaction_is_replayed_when_genesys_is_down() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("GET", "/api/v2/").status(503));
    let function = harness.function()?;
    invoke(&function, event(&records(20))).await??;
    let audit = Record::new(
        "audit",
        r#"{"id":"a-1","detail-type":"v2.audits.x","source":"s","detail":{}}"#,
    );
    assert!(invoke(&function, event(&[audit])).await??.is_empty());
    assert_eq!(harness.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn events_return_to_the_queue_when_the_ledger_is_broken() -> TestResult {
    let harness = ReplayHarness::start().await?;
    for (fault, most_calls) in [
        (Fault::on("POST", "/").hang(), 60),
        (Fault::on("POST", "/").status(200).body("<html>"), 60),
        (Fault::on("POST", "/").status(500), 60),
    ] {
        let nonsense = genesys_stand_in::StandIn::builder().start().await?;
        nonsense.fault(fault.clone());
        let settings = harness.settings();
        let settings =
            genesys_replay_settings::Settings::from_lookup(|name| settings.get(name).cloned())?;
        let function = genesys_replay_lambda::app::build(settings, &aws_at(&nonsense.url()))?;
        let time = Duration::from_secs(4);
        let answer = invoke_within(&function, event(&records(40)), time).await??;
        assert_eq!(answer.len(), 40, "{fault:?}");
        assert!(harness.genesys.calls().is_empty(), "{fault:?}");
        let calls = nonsense.calls().len();
        assert!(calls < most_calls, "{calls} calls beside an open circuit: {fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn shutdown_releases_records_in_flight_on_sigterm() -> TestResult {
    let harness = ReplayHarness::start().await?;
    harness.genesys.fault(Fault::on("POST", "/targets/").hang());
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    function.send(event(&records(1)))?;
    eventually("the target is called", async || Ok((harness.deliveries() > 0).then_some(())))
        .await?;
    function.terminate()?;
    let answer = function.answer().await?;
    let expected = json!({ "batchItemFailures": [{ "itemIdentifier": "m-0" }] });
    assert!(
        matches!(&answer, Invocation::Response(response) if *response == expected),
        "{answer:?}"
    );
    let (success, printed) = function.ended().await?;
    assert!(success);
    let codes: Vec<Value> = printed
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "dead letter handled")
        .map(|line| line["failure_code"].clone())
        .collect();
    assert_eq!(codes, ["OUT_OF_TIME"]);
    // Released if the ledger responds within 75 ms, otherwise held until the lease ends.
    let status = harness.aws.attribute(&harness.key("e-0"), "Status").await?;
    let status = status.unwrap_or_default();
    assert!(["DEFERRED", "IN_PROGRESS"].contains(&&*status), "{status}");
    Ok(())
}

#[tokio::test]
async fn shutdown_ends_an_idle_program_on_sigterm() -> TestResult {
    let harness = ReplayHarness::start().await?;
    let mut function = Function::start(crate::REPLAY, harness.settings(), &harness.aws).await?;
    function.send(event(&[]))?;
    function.answer().await?;
    function.terminate()?;
    assert!(function.ended().await?.0);
    Ok(())
}
