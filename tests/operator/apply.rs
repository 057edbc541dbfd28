//! `apply` of the real program, with the function in the background: waves, stops and resumes.

use std::collections::BTreeMap;
use std::error::Error;

use genesys_replay_lambda::app::ReplayFunction;
use genesys_stand_in::Fault;
use genesys_test_support::{HIDDEN_SECONDS, Record, TestResult, eventually};
use serde_json::Value;

use super::plan::{archive_records, plan, with_archived};
use crate::support::harness::{OperatorHarness, ended};

pub(super) const APPLY: [&str; 5] = ["apply", "plan.json", "--yes", "--rate", "1000"];

/// Returns the entries of one kind in the audit.
pub(super) fn audit(desk: &OperatorHarness, what: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let text = desk.read("plan.audit.jsonl")?;
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line["what"] == what).collect())
}

pub(super) fn once(ids: &[&str]) -> BTreeMap<String, usize> {
    ids.iter().map(|id| ((*id).to_owned(), 1)).collect()
}

/// Removes the recorded calls of the attempts before the plan.
fn repaired(desk: &OperatorHarness) {
    desk.world.genesys.clear_calls();
}

#[tokio::test]
async fn apply_delivers_a_plan_once_in_growing_waves_with_an_audit() -> TestResult {
    let ids = ["e-1", "e-2", "e-3", "e-4", "e-5"];
    let desk = with_archived(&ids).await?;
    plan(&desk, &[]).await?;
    repaired(&desk);
    let ended = desk.run_beside_function(&[&APPLY[..], &["--output", "json"]].concat()).await?;
    let summary = ended.json()?;
    ended.with(0)?;
    assert_eq!(summary["outcomes"][0]["outcome"], "delivered");
    assert_eq!(summary["outcomes"][0]["count"], 5);
    assert_eq!(desk.delivered(), once(&ids));
    for id in ids {
        assert_eq!(desk.world.state(id).await?, "COMPLETED", "{id}");
    }
    let waves: Vec<Value> =
        audit(&desk, "wave")?.into_iter().map(|it| it["size"].clone()).collect();
    assert_eq!(waves, [1, 2, 2]);
    let by = audit(&desk, "begun")?[0]["by"].to_string();
    assert!(by.contains("marta (arn:aws:"), "{by}");
    assert_eq!(audit(&desk, "outcome")?.len(), 5);
    let marks = desk.world.marks();
    assert!(marks.contains(&"2 replay_successful".to_owned()), "the count continues: {marks:?}");
    Ok(())
}

#[tokio::test]
async fn apply_without_yes_shows_the_plan_and_sends_nothing() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    let ended = desk.run(&["apply", "plan.json"]).await?;
    assert!(ended.stdout.contains("the CRM was down"), "{ended:?}");
    assert!(ended.stderr.contains("add --yes to send 2 dead letters"), "{ended:?}");
    ended.with(0)?;
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    assert!(!desk.file("plan.audit.jsonl").exists());
    Ok(())
}

#[tokio::test]
async fn apply_stops_at_a_failed_canary_and_resume_continues() -> TestResult {
    let ids = ["e-1", "e-2", "e-3", "e-4"];
    let desk = with_archived(&ids).await?;
    plan(&desk, &[]).await?;
    repaired(&desk);
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    let stopped = desk.run_beside_function(&APPLY).await?;
    assert!(stopped.stdout.contains("1 archived again (TARGET_REFUSED)"), "{stopped:?}");
    assert!(
        stopped.stdout.contains("3 remaining") && stopped.stderr.contains("--resume"),
        "{stopped:?}"
    );
    assert_eq!(stopped.code, Some(5));
    let failed = stopped.stdout.lines().find(|line| line.starts_with("canary failed: e-"));
    let failed = failed.ok_or("no failed canary")?;
    for part in [
        "/targets/crm: TARGET_REFUSED, the target answered 422",
        ", archived at 20",
        "(genesys-replay explain TARGET_REFUSED)",
    ] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    assert_eq!(audit(&desk, "sent")?.len(), 1);

    let again = desk.run_beside_function(&APPLY).await?;
    assert_eq!(again.code, Some(3), "the run has begun: {again:?}");
    repaired(&desk);
    let resumed = desk.run_beside_function(&[&APPLY[..], &["--resume"]].concat()).await?;
    assert!(resumed.stdout.contains("3 delivered"), "{resumed:?}");
    resumed.with(1)?;
    assert_eq!(
        desk.delivered(),
        once(&ids[1..]),
        "an event that was archived again needs another plan"
    );
    Ok(())
}

#[tokio::test]
async fn apply_counts_a_deferral_as_failed_and_resume_follows_it() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(503).times(3));
    let function = desk.world.function()?;
    let child = desk.program(&APPLY).spawn()?;
    drain(&desk, &function).await?;
    let stopped = ended(child).await?;
    assert_eq!(stopped.code, Some(5), "{stopped:?}");
    assert!(stopped.stdout.contains("1 sent and open"), "{stopped:?}");
    assert!(stopped.stdout.contains("canary deferred: e-"), "{stopped:?}");
    assert!(stopped.stdout.contains(" (genesys-replay explain TARGET_UNAVAILABLE)"), "{stopped:?}");
    let resumed = desk.run_beside_function(&[&APPLY[..], &["--resume"]].concat()).await?;
    assert!(resumed.stdout.contains("2 delivered"), "{resumed:?}");
    resumed.with(0)?;
    Ok(())
}

#[tokio::test]
async fn apply_json_has_the_codes_and_reasons_of_failures() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    let json = [&APPLY[..], &["--to", "target", "--output", "json"]].concat();
    let stopped = desk.run(&json).await?.json()?;
    let failure = &stopped["failures"][0];
    assert_eq!(failure["wave"], 1, "{stopped}");
    assert_eq!(failure["outcome"], "archived_again");
    assert_eq!(failure["failure_code"], "TARGET_REFUSED");
    let reason = failure["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("the target answered 422"), "{stopped}");
    assert!(failure["key"].as_str().is_some_and(|key| key.starts_with("e-")), "{stopped}");

    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(503).times(3));
    let resume = [&APPLY[..], &["--to", "target", "--resume", "--output", "json"]].concat();
    let done = desk.run(&resume).await?.json()?;
    assert_eq!(done["failures"].as_array().map(Vec::len), Some(1), "{done}");
    assert_ne!(done["failures"][0]["failure_code"], "TARGET_REFUSED", "of this run: {done}");
    Ok(())
}

#[tokio::test]
async fn apply_names_the_event_it_waits_for_without_a_terminal() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    desk.put(&desk.queue, "{}", &[]).await?;
    let stuck = desk.run(&[&APPLY[..], &["--wait", "1ms"]].concat()).await?;
    let waits = stuck.stderr.lines().filter(|line| line.starts_with("waiting for "));
    let waits: Vec<&str> = waits.collect();
    assert_eq!(waits, ["waiting for the canary, about 1 messages ahead, up to 1ms"], "{stuck:?}");
    Ok(())
}

#[tokio::test]
async fn apply_reports_stuck_when_the_function_does_not_consume() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    let stuck = desk.run(&[&APPLY[..], &["--wait", "1ms"]].concat()).await?;
    assert_eq!(stuck.code, Some(5), "{stuck:?}");
    assert!(stuck.stderr.contains("event source mapping"), "{stuck:?}");
    assert_eq!(desk.depth(&desk.queue).await?, 1, "the canary waits, the rest was not sent");
    Ok(())
}

#[tokio::test]
async fn apply_refuses_a_drifted_plan_before_sending() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    let sent = Record::dead_letter("m-3", "e-2", "c-e-2").with("ReplayPlan", "another");
    desk.world.deliver(&[sent]).await?;
    for arguments in [&APPLY[..], &["apply", "plan.json"]] {
        let refused = desk.run(arguments).await?;
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(
            refused.stderr.contains("1 of 2 dead letters have changed in the ledger"),
            "{refused:?}"
        );
        let line = refused.stderr.lines().find(|line| line.starts_with("  e-2|"));
        assert!(line.is_some_and(|line| line.contains("now COMPLETED")), "{refused:?}");
        assert!(
            refused.stderr.contains("ARCHIVED after 1 attempts, now COMPLETED after 2 attempts"),
            "{refused:?}"
        );
    }
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn apply_keeps_the_event_key_of_an_event_without_an_id() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let body = r#"{"order": 7, "id": "not an event's"}"#;
    let transformed = Record::new("m-1", body)
        .with("RULE_ARN", "arn:aws:events:eu-central-1:271828182845:rule/crm")
        .with("ERROR_CODE", "TIMEOUT");
    archive_records(&desk, &[transformed]).await?;
    plan(&desk, &[]).await?;
    std::fs::copy(desk.file("plan.json"), desk.file("copy.json"))?;
    repaired(&desk);
    // Two operators, each with a copy of the plan and its own audit.
    let function = desk.world.function()?;
    let copy = ["apply", "copy.json", "--yes", "--rate", "1000"];
    let (first, second) = tokio::select! {
        both = async { tokio::join!(desk.run(&APPLY), desk.run(&copy)) } => both,
        error = desk.drain(&function) => return Err(error),
    };
    let (first, second) = (first?, second?);
    assert!([&first, &second].iter().any(|it| it.code == Some(0)), "{first:?} {second:?}");
    assert_eq!(desk.world.deliveries(), 1);
    assert_eq!(desk.world.state("m-1").await?, "COMPLETED", "by the id of its first message");
    Ok(())
}

#[tokio::test]
async fn apply_sends_attributes_and_body_of_the_first_message() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let archived = desk.world.aws.objects(&desk.bucket).await?.remove(0).1;
    let plan = plan(&desk, &[]).await?;
    desk.run(&[&APPLY[..], &["--wait", "1ms"]].concat()).await?;
    let message = desk.world.aws.receive(&desk.queue, HIDDEN_SECONDS).await?.remove(0);
    assert_eq!(message.body.as_deref(), archived["body"].as_str());
    let mut attributes: BTreeMap<String, String> = message
        .message_attributes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.string_value?)))
        .collect();
    let sent = attributes.remove("ReplayPlan");
    assert_eq!(sent.as_deref(), plan["id"].as_str());
    let by = attributes.remove("ReplayBy").unwrap_or_default();
    assert!(by.starts_with("marta (arn:aws:"), "{by}");
    assert_eq!(attributes.remove("ReplayReason").as_deref(), Some("the CRM was down"));
    assert_eq!(serde_json::to_value(attributes)?, archived["attributes"]);
    Ok(())
}

#[tokio::test]
async fn apply_does_not_send_missing_or_changed_dead_letters() -> TestResult {
    let desk = with_archived(&["e-1", "e-2", "e-3"]).await?;
    plan(&desk, &[]).await?;
    let objects = desk.world.aws.objects(&desk.bucket).await?;
    let s3 = desk.world.aws.s3();
    s3.delete_object().bucket(&desk.bucket).key(&objects[0].0).send().await?;
    let mut forged = objects[1].1.clone();
    forged["attributes"]["TARGET_ARN"] = Value::from("arn:aws:sqs:eu-central-1:271828182845:mine");
    let put = s3.put_object().bucket(&desk.bucket).key(&objects[1].0);
    put.body(forged.to_string().into_bytes().into()).send().await?;
    repaired(&desk);
    let ended = desk.run_beside_function(&APPLY).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stdout.contains("the dead letter is not where it was when the plan was made"),
        "{ended:?}"
    );
    assert!(
        ended.stdout.contains("the dead letter was changed after the plan was made"),
        "{ended:?}"
    );
    assert_eq!(desk.delivered(), once(&["e-3"]));
    Ok(())
}

#[tokio::test]
async fn apply_to_target_needs_no_queue_and_updates_the_ledger() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    repaired(&desk);
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    let direct = [&APPLY[..], &["--to", "target"]].concat();
    let stopped = desk.run(&direct).await?;
    assert_eq!(stopped.code, Some(5), "{stopped:?}");
    assert!(stopped.stdout.contains("1 archived again (TARGET_REFUSED)"), "{stopped:?}");
    let done = desk.run(&[&direct[..], &["--resume"]].concat()).await?;
    for all in ["1 archived again (TARGET_REFUSED)", "1 delivered"] {
        assert!(done.stdout.contains(all), "{done:?}");
    }
    done.with(1)?;
    let mut states = vec![desk.world.state("e-1").await?, desk.world.state("e-2").await?];
    states.sort();
    assert_eq!(states, ["ARCHIVED TARGET_REFUSED", "COMPLETED"]);
    assert_eq!(desk.world.deliveries(), 2);
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

/// Waits until the audit has this many lines of this kind.
async fn until(desk: &OperatorHarness, what: &str, count: usize) -> TestResult {
    // The last line may be incomplete.
    eventually(&format!("the audit has {count} lines of {what}"), async || {
        let lines = audit(desk, what).map_or(0, |lines| lines.len());
        Ok((lines >= count).then_some(()))
    })
    .await
}

/// Drains the queue until a batch had messages.
async fn drain(desk: &OperatorHarness, function: &ReplayFunction) -> TestResult {
    eventually("the queue has messages", async || {
        Ok((desk.drain_once(function).await? > 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn apply_resumes_after_a_kill_and_delivers_each_event_once() -> TestResult {
    let ids: Vec<String> = (0..12).map(|number| format!("e-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let desk = with_archived(&ids).await?;
    plan(&desk, &[]).await?;
    repaired(&desk);
    let function = desk.world.function()?;
    let resume = [&APPLY[..], &["--resume"]].concat();
    // The queue is not drained, so both are interrupted while they follow.
    let child = desk.program(&APPLY).spawn()?;
    until(&desk, "sent", 1).await?;
    let id = child.id().ok_or("it has ended")?;
    let interrupt = std::process::Command::new("kill").args(["-INT", &id.to_string()]).status()?;
    assert!(interrupt.success());
    let stopped = ended(child).await?;
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    assert!(stopped.stderr.contains("--yes --resume"), "{stopped:?}");

    let mut child = desk.program(&[&resume[..], &["--canary", "4"]].concat()).spawn()?;
    drain(&desk, &function).await?;
    until(&desk, "sent", 3).await?;
    child.kill().await?;
    // As after a crash in the middle of a line.
    let mut torn = desk.read("plan.audit.jsonl")?.into_bytes();
    torn.extend(b"{\"by\":\"J\xc3");
    std::fs::write(desk.file("plan.audit.jsonl"), torn)?;

    let done = desk.run_beside_function(&resume).await?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(desk.delivered(), once(&ids));
    Ok(())
}

#[tokio::test]
async fn apply_reports_expired_credentials_and_sends_nothing() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let mut aws = mockito::Server::new_async().await;
    let expired =
        r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"secret words"}"#;
    aws.mock("POST", "/").with_status(400).with_body(expired).create_async().await;
    let url = aws.url();
    for arguments in [&APPLY[..], &["plan", "--reason", "x", "--out", "other.json"]] {
        let refused = desk.run(&[&["--endpoint-url", url.as_str()], arguments].concat()).await?;
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert!(
            refused.stderr.contains("does not accept the credentials (ExpiredTokenException)"),
            "{refused:?}"
        );
        assert!(refused.stderr.contains("hint: renew your AWS credentials"), "{refused:?}");
        assert!(!refused.stderr.contains("secret words"), "{refused:?}");
    }
    assert!(!desk.file("other.json").exists());
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn apply_to_target_resumes_attempts_that_were_not_made() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    repaired(&desk);
    desk.world
        .genesys
        .fault(Fault::on("POST", "/oauth/token").status(400).body(r#"{"error":"invalid_client"}"#));
    let direct = [&APPLY[..], &["--to", "target"]].concat();
    let stopped = desk.run(&direct).await?;
    assert!(stopped.stdout.contains("1 not confirmed as sent, or open"), "{stopped:?}");
    assert!(stopped.stdout.contains("GENESYS_CREDENTIALS"), "{stopped:?}");
    desk.world.genesys.clear_faults();
    let done = desk.run(&[&direct[..], &["--resume"]].concat()).await?;
    done.with(0)?;
    assert_eq!(desk.delivered(), once(&["e-1"]));
    Ok(())
}

#[tokio::test]
async fn apply_refuses_a_changed_queue_or_target() -> TestResult {
    let mut desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let other = desk.world.aws.create_queue(false).await?;
    let refused = desk.run(&[&["--queue", other.as_str()], &APPLY[..]].concat()).await?;
    assert!(refused.stderr.contains("the plan is for the queue"), "{refused:?}");
    refused.with(3)?;
    let elsewhere = format!("{}/targets/other", desk.world.genesys.url());
    desk.world.set("REPLAY_TARGET", &elsewhere);
    for to in ["queue", "target"] {
        let refused = desk.run(&[&APPLY[..], &["--to", to]].concat()).await?;
        assert!(refused.stderr.contains("would go to"), "{refused:?}");
        refused.with(3)?;
    }
    assert!(!desk.file("plan.audit.jsonl").exists(), "a refused plan has no audit");
    Ok(())
}

#[tokio::test]
async fn apply_resume_requires_the_direction_it_began_with() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    plan(&desk, &[]).await?;
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(422).times(1));
    let stopped = desk.run(&[&APPLY[..], &["--to", "target"]].concat()).await?;
    assert!(stopped.stderr.contains("apply plan.json --yes --resume --to target"), "{stopped:?}");
    let resumed = desk.run(&[&APPLY[..], &["--resume"]].concat()).await?;
    assert!(resumed.stderr.contains("the earlier run sends directly to the target"), "{resumed:?}");
    resumed.with(3)?;
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn apply_does_not_replace_an_audit_that_is_in_use() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let another = std::fs::File::create(desk.file("plan.audit.jsonl"))?;
    another.lock()?;
    let refused = desk.run(&APPLY).await?;
    assert!(refused.stderr.contains("is in use"), "{refused:?}");
    refused.with(3)?;
    assert!(desk.file("plan.audit.jsonl").exists());
    Ok(())
}
