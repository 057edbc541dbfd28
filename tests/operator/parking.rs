//! Plans for the parking queue: only sent messages leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use genesys_replay::clock::Timestamp;
use genesys_test_support::{
    FUNCTION, HIDDEN_SECONDS, TestResult, conversation_event, on_failure_body,
};
use serde_json::{Value, json};

use super::apply::{APPLY, audit, once};
use super::items::{item, write};
use super::plan::plan;
use crate::support::harness::OperatorHarness;

const TARGET: (&str, &str) =
    ("TARGET_ARN", "arn:aws:lambda:eu-central-1:271828182845:function:crm");

/// Returns a harness whose parking queue has these events, and the queue's ARN.
async fn with_parked(ids: &[&str]) -> Result<(OperatorHarness, String), Box<dyn Error>> {
    let desk = OperatorHarness::open().await?;
    let parking = desk.park(&desk.queue, 10).await?;
    for id in ids {
        let body = conversation_event(id, &format!("c-{id}"));
        desk.put(&parking, &body, &[TARGET, ("ERROR_CODE", "TIMEOUT")]).await?;
    }
    Ok((desk, parking))
}

/// The time of a delivery that failed later.
const DELIVERED: Timestamp = Timestamp::from_millis(1_785_100_000_000);

const FROM_PARKING: [&str; 2] = ["--from", "parking"];

#[tokio::test]
async fn plan_from_parking_removes_no_message() -> TestResult {
    let (desk, parking) = with_parked(&["e-1", "e-2", "e-3"]).await?;
    let plan = plan(&desk, &[&FROM_PARKING[..], &["--interaction", "c-e-2"]].concat()).await?;
    let items = plan["content"]["items"].as_array().ok_or("no items")?;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["failure_code"], Value::Null, "no reason was recorded");
    let shown = desk.world.aws.receive(&parking, 0).await?;
    assert_eq!(shown.len(), 3, "all are visible again");
    Ok(())
}

#[tokio::test]
async fn apply_removes_sent_messages_from_parking_only() -> TestResult {
    let ids: Vec<String> = (0..25).map(|number| format!("e-{number}")).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (desk, parking) = with_parked(&all).await?;
    let chosen = ["e-3", "e-11", "e-24"];
    let by_id: Vec<&str> = chosen.iter().flat_map(|id| ["--id", id]).collect();
    plan(&desk, &[&FROM_PARKING[..], &by_id].concat()).await?;
    let done = desk.run_beside_function(&APPLY).await?;
    done.with(0)?;
    assert_eq!(desk.delivered(), once(&chosen));
    assert_eq!(audit(&desk, "left_parking")?.len(), 3);
    assert_eq!(desk.depth(&parking).await?, 22);
    let mut shown = 0;
    loop {
        match desk.world.aws.receive(&parking, HIDDEN_SECONDS).await?.len() {
            0 => break,
            count => shown += count,
        }
    }
    assert_eq!(shown, 22, "all remaining messages are visible");
    Ok(())
}

#[tokio::test]
async fn apply_does_not_send_messages_missing_from_parking() -> TestResult {
    let (desk, parking) = with_parked(&["e-1", "e-2"]).await?;
    plan(&desk, &FROM_PARKING).await?;
    let elsewhere = desk.world.aws.receive(&parking, HIDDEN_SECONDS).await?;
    assert_eq!(elsewhere.len(), 2, "another consumer has them");
    let done = desk.run_beside_function(&APPLY).await?;
    assert!(done.stdout.contains("2 not sent"), "{done:?}");
    assert!(done.stdout.contains("not where it was"), "{done:?}");
    done.with(1)?;
    assert_eq!(desk.world.deliveries(), 0);
    Ok(())
}

#[tokio::test]
async fn plan_from_parking_is_refused_without_a_parking_queue() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let refused = desk.run(&["plan", "--reason", "x", "--from", "parking"]).await?;
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("has no parking queue"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn plan_from_parking_includes_deferred_events() -> TestResult {
    let (desk, _) = with_parked(&["e-1"]).await?;
    desk.world.genesys.fault(genesys_stand_in::Fault::on("POST", "/targets/").status(503).times(3));
    let record = genesys_test_support::Record::dead_letter("m-1", "e-1", "c-e-1");
    assert_eq!(desk.world.deliver(&[record]).await?, ["m-1"]);
    assert_eq!(desk.world.state("e-1").await?, "DEFERRED TARGET_UNAVAILABLE");
    let plan = plan(&desk, &FROM_PARKING).await?;
    let items = plan["content"]["items"].as_array().map(Vec::len);
    assert_eq!(items, Some(1), "{plan}");
    desk.run_beside_function(&APPLY).await?.with(0)?;
    assert_eq!(desk.world.state("e-1").await?, "COMPLETED");
    Ok(())
}

#[tokio::test]
async fn plan_from_parking_includes_events_over_the_last_round() -> TestResult {
    let (desk, _) = with_parked(&["e-1"]).await?;
    let key = desk.world.key("e-1");
    let item = item(&key, &[("Status", "DEFERRED"), ("Step", "CLAIMED"), ("Rounds", "11")])?;
    write(&desk.world.aws, vec![item]).await?;
    let plan = plan(&desk, &FROM_PARKING).await?;
    let items = plan["content"]["items"].as_array().map(Vec::len);
    assert_eq!(items, Some(1), "{plan}");
    Ok(())
}

#[tokio::test]
async fn plan_from_parking_has_only_current_failure_records() -> TestResult {
    let mut desk = OperatorHarness::open().await?;
    desk.world.set("REPLAY_TARGET", "original");
    // The function of this test does not exist.
    desk.world.set("MAX_RECEIVES", "2");
    let parking = desk.park(&desk.queue, 10).await?;
    for (id, request, round) in [("e-1", "r-1", "1"), ("e-2", "r-0", "1"), ("e-3", "r-1", "10")] {
        let body = on_failure_body(request, DELIVERED, &conversation_event(id, "c-1"));
        desk.put(&parking, &body, &[]).await?;
        let at = DELIVERED.as_millis().to_string();
        let item = item(
            &format!("{id}|{FUNCTION}"),
            &[
                ("Status", "COMPLETED"),
                ("Step", "REPLAYED"),
                ("Rounds", round),
                ("DeliveryId", "r-1"),
                ("DeliveredAt", &at),
                ("MessageId", "m-1"),
            ],
        )?;
        write(&desk.world.aws, vec![item]).await?;
    }

    desk.run(&["diagnose", "--parking", "--out", "found.json"]).await?.with(1)?;
    let found = std::fs::read(desk.file("found.json"))?;
    let found: Value = serde_json::from_slice(&found)?;
    let found = found["records"].as_array().ok_or("no findings")?;
    let steps: BTreeMap<_, _> = found
        .iter()
        .map(|it| (it["eventId"].as_str(), (it["failureCode"].as_str(), it["nextStep"].as_str())))
        .collect();
    let failed_later = Some("FAILED_AFTER_ACCEPTANCE");
    assert_eq!(
        steps.into_values().collect::<Vec<_>>(),
        [
            (failed_later, Some("REPLAY")),
            (None, Some("ACKNOWLEDGE")),
            (failed_later, Some("ARCHIVE")),
        ]
    );

    let plan = plan(&desk, &FROM_PARKING).await?;
    let items = plan["content"]["items"].as_array().ok_or("no items")?;
    let planned: BTreeSet<_> = items.iter().map(|item| item["key"].as_str()).collect();
    let [first, third] = ["e-1", "e-3"].map(|id| format!("{id}|{FUNCTION}"));
    assert_eq!(planned, BTreeSet::from([Some(first.as_str()), Some(&third)]));

    let report = desk.run(&["report", "--output", "json"]).await?;
    let report: Value = serde_json::from_str(&report.stdout)?;
    assert_eq!(report["rounds_histogram"], json!({ "1": 2, "10": 1 }));
    let shown = desk.run(&["report"]).await?;
    assert!(shown.stdout.contains("round"), "{}", shown.stdout);

    // Without a function here, the new round does not begin.
    desk.run_beside_function(&[&APPLY[..], &["--canary", "2"]].concat()).await?.with(1)?;
    let mut ended = Vec::new();
    for key in [&first, &third] {
        for name in ["Status", "FailureCode", "Rounds"] {
            ended.extend(desk.world.aws.attribute(key, name).await?);
        }
    }
    assert_eq!(ended.join(" "), "ARCHIVED EXHAUSTED 2 ARCHIVED FAILED_AFTER_ACCEPTANCE 11");
    Ok(())
}
