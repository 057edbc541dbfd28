//! `discard` and `restore` of the real program, with the function beside it.

mod concurrent;
mod crashes;
mod drift;
mod ledger_writes;
mod messages;
mod restoring;
mod sums;

use std::collections::BTreeMap;
use std::error::Error;

use genesys_test_support::{Record, TestResult};
use serde_json::Value;

use super::items::{item, write};
use super::plan::with_archived;
use crate::support::harness::OperatorHarness;
use crate::support::program::Ran;

/// Runs `discard` or `restore` with these arguments, and removes files of earlier plans before.
async fn close(
    desk: &OperatorHarness,
    command: &str,
    arguments: &[&str],
) -> Result<Ran, Box<dyn Error>> {
    for name in ["json", "audit.jsonl"] {
        let _ = std::fs::remove_file(desk.file(&format!("{command}.{name}")));
    }
    let all = [&[command, "--reason", "ticket 4711", "--local"], arguments].concat();
    desk.run(&all).await
}

/// Returns the keys of the bucket's objects, from the folder of discarded events or from the archive.
async fn keys(desk: &OperatorHarness, is_discarded: bool) -> Result<Vec<String>, Box<dyn Error>> {
    let listed = desk.world.aws.s3().list_objects_v2().bucket(&desk.bucket).send().await?;
    let keys = listed.contents().iter().filter_map(|object| object.key());
    let keys = keys.filter(|key| key.starts_with("discarded/") == is_discarded);
    Ok(keys.map(str::to_owned).collect())
}

pub(super) async fn item_of(
    desk: &OperatorHarness,
    key: &str,
) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    Ok(desk.world.aws.item(key).await?.into_iter().collect())
}

/// Returns the reasons of the excluded dead letters in the output.
fn reasons(ran: &Ran) -> Result<Vec<String>, Box<dyn Error>> {
    let output = ran.json()?;
    let list = output["left_out"].as_array().ok_or("no list")?;
    Ok(list.iter().map(|it| it["reason"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn discard_without_yes_writes_a_plan_only() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let before = keys(&desk, false).await?;
    let ran = close(&desk, "discard", &["--id", "e-1"]).await?;
    assert!(ran.stdout.contains("1 dead letter to discard, in discard.json"), "{ran:?}");
    assert!(ran.stderr.contains("nothing was discarded"), "{ran:?}");
    ran.with(0)?;
    let plan = desk.document("discard.json")?;
    assert_eq!(plan["content"]["kind"], "discard");
    assert_eq!(plan["content"]["items"][0]["ledger"]["status"], "ARCHIVED");
    let shown = desk.run(&["apply", "discard.json"]).await?;
    assert!(shown.says("would be discarded: 1"), "{shown:?}");
    assert!(shown.says("nothing was discarded; add --yes"), "{shown:?}");
    shown.with(0)?;
    assert_eq!(keys(&desk, false).await?, before);
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    assert!(!desk.file("discard.audit.jsonl").exists());
    Ok(())
}

#[tokio::test]
async fn discard_moves_the_object_and_closes_the_event() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let before = keys(&desk, false).await?;
    let objects = desk.world.aws.objects(&desk.bucket).await?;
    close(&desk, "discard", &["--id", "e-1"]).await?.with(0)?;
    let ran = desk.run(&["apply", "discard.json", "--yes"]).await?;
    assert!(ran.stdout.contains("1 discarded"), "{ran:?}");
    ran.with(0)?;

    let moved: Vec<&String> = before.iter().filter(|key| key.contains("/e-1-")).collect();
    assert_eq!(keys(&desk, true).await?, [format!("discarded/{}", moved[0])]);
    assert_eq!(keys(&desk, false).await?.len(), 1, "the other event stays");
    let copies = desk.world.aws.objects(&desk.bucket).await?;
    let of = |list: &[(String, Value)]| {
        list.iter().find(|(key, _)| key.contains("/e-1-")).map(|(_, document)| document.clone())
    };
    assert_eq!(of(&copies), of(&objects));
    let head = desk.world.aws.s3().head_object().bucket(&desk.bucket);
    let head = head.key(format!("discarded/{}", moved[0])).send().await?;
    assert!(head.metadata().is_some_and(|it| it.contains_key("event")), "{head:?}");

    let item = item_of(&desk, &desk.world.key("e-1")).await?;
    let plan = desk.document("discard.json")?;
    for (name, expected) in [("Status", "DISCARDED"), ("Reason", "ticket 4711"), ("Attempts", "1")]
    {
        assert_eq!(item.get(name).map(String::as_str), Some(expected), "{item:?}");
    }
    assert!(item.get("By").is_some_and(|by| by.starts_with("marta (arn:aws:")), "{item:?}");
    assert_eq!(item.get("PlanId").map(String::as_str), plan["id"].as_str());
    let audit = desk.read("discard.audit.jsonl")?;
    let steps: Vec<Value> = audit.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let steps: Vec<String> =
        steps.iter().map(|it| format!("{} {}", it["what"], it["step"]).replace('"', "")).collect();
    assert_eq!(
        steps,
        [
            "begun null",
            "step_begun copy",
            "step_done copy",
            "step_begun ledger",
            "step_done ledger",
            "step_begun delete",
            "step_done delete",
            "closed null",
            "ended null"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn discarded_event_is_acknowledged_and_not_delivered() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    desk.world.genesys.clear_calls();
    let plain = Record::dead_letter("m-2", "e-1", "c-e-1");
    let replayed = Record::dead_letter("m-3", "e-1", "c-e-1").with("ReplayPlan", "plan-1");
    for record in [plain, replayed] {
        assert_eq!(desk.world.deliver(&[record]).await?, Vec::<String>::new());
    }
    assert_eq!(desk.world.deliveries(), 0);
    assert_eq!(desk.world.state("e-1").await?, "DISCARDED TARGET_REFUSED");
    let planned = desk.run(&["plan", "--reason", "again", "--local"]).await?;
    planned.with(1)?;
    Ok(())
}

#[tokio::test]
async fn discard_closes_messages_that_are_not_events() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let malformed = Record::dead_letter("m-2", "e-2", "c-2").with("ERROR_CODE", "INVALID_JSON");
    desk.world.deliver(&[Record::new("m-1", "no event at all"), malformed]).await?;
    assert_eq!(keys(&desk, false).await?.len(), 2);
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, false).await?, Vec::<String>::new());
    assert_eq!(keys(&desk, true).await?.len(), 2);
    for (key, code) in
        [("m-1|unknown".to_owned(), "NOT_AN_EVENT"), (desk.world.key("e-2"), "PAYLOAD_MALFORMED")]
    {
        let item = item_of(&desk, &key).await?;
        let found = ["Status", "FailureCode"].map(|it| item.get(it).cloned().unwrap_or_default());
        assert_eq!(found, ["DISCARDED", code], "{key}");
        assert!(item.contains_key("FirstSeenAt") && item.contains_key("ExpiresAt"), "{item:?}");
    }
    Ok(())
}

#[tokio::test]
async fn discard_leaves_out_delivered_held_and_open_events() -> TestResult {
    let desk = with_archived(&["e-1", "e-2", "e-3"]).await?;
    let [first, second, third] = ["e-1", "e-2", "e-3"].map(|id| desk.world.key(id));
    let items = vec![
        item(&first, &[("Status", "COMPLETED")])?,
        item(&second, &[("Status", "IN_PROGRESS"), ("LeaseUntil", "9999999999999")])?,
        item(&third, &[("Status", "DEFERRED")])?,
    ];
    write(&desk.world.aws, items).await?;
    let ran = close(&desk, "discard", &["--output", "json"]).await?;
    let reasons = reasons(&ran)?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in ["delivered already", "working on the event", "--open selects it anyway"] {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
    close(&desk, "discard", &["--open", "--yes"]).await?.with(0)?;
    let states = [&first, &second, &third].map(|key| desk.world.aws.attribute(key, "Status"));
    let mut found = Vec::new();
    for state in states {
        found.extend(state.await?);
    }
    assert_eq!(found, ["COMPLETED", "IN_PROGRESS", "DISCARDED"]);
    Ok(())
}

#[tokio::test]
async fn discard_is_refused_when_the_ledger_has_changed() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    close(&desk, "discard", &[]).await?.with(0)?;
    let before = keys(&desk, false).await?;
    write(&desk.world.aws, vec![item(&desk.world.key("e-2"), &[("Status", "COMPLETED")])?]).await?;
    let ran = desk.run(&["apply", "discard.json", "--yes"]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("e-2|") && !ran.stderr.contains("e-1|"), "{ran:?}");
    assert_eq!(keys(&desk, false).await?, before);
    assert_eq!(keys(&desk, true).await?, Vec::<String>::new());
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    assert!(!desk.file("discard.audit.jsonl").exists());
    Ok(())
}

#[tokio::test]
async fn discard_plan_refuses_edits_and_sending_options() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    close(&desk, "discard", &[]).await?.with(0)?;
    for arguments in [["--to", "target"], ["--canary", "5"], ["--rate", "3"]] {
        let ran = desk.run(&[&["apply", "discard.json", "--yes"], &arguments[..]].concat()).await?;
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.says("plans that send events"), "{ran:?}");
    }
    std::fs::write(desk.file("patch.json"), "[]")?;
    let edited =
        desk.run(&["edit", "discard.json", "--patch", "patch.json", "--reason", "x"]).await?;
    assert_eq!(edited.code, Some(3), "{edited:?}");
    assert!(edited.says("is a plan of kind discard"), "{edited:?}");
    Ok(())
}

#[tokio::test]
async fn discarded_events_are_outside_an_archive_above_them() -> TestResult {
    let mut desk = OperatorHarness::open().await?;
    // An empty value means the default prefix.
    desk.world.set("ARCHIVE_PREFIX", "d");
    super::plan::archive(&desk, &["e-1"]).await?;
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, true).await?.len(), 1);
    let again = close(&desk, "discard", &["--output", "json"]).await?;
    assert_eq!(reasons(&again)?, Vec::<String>::new(), "{again:?}");
    desk.world.set("ARCHIVE_PREFIX", "discarded/archive/");
    let ran = close(&desk, "discard", &[]).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.says("in the folder of discarded events"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn discard_closes_the_item_of_the_former_target() -> TestResult {
    let mut desk = with_archived(&["e-1"]).await?;
    let former = desk.world.key("e-1");
    desk.world.set("REPLAY_TARGET", "https://elsewhere.example/events");
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    let plan = desk.document("discard.json")?;
    assert_eq!(plan["content"]["items"][0]["key"], former.as_str());
    assert_eq!(desk.world.aws.attribute(&former, "Status").await?.as_deref(), Some("DISCARDED"));
    assert!(item_of(&desk, &desk.world.key("e-1")).await?.is_empty());
    let sum = desk.run(&["reconcile", "--output", "json"]).await?;
    assert_eq!(sum.json()?["discarded"], 1, "{sum:?}");
    sum.with(0)?;
    Ok(())
}

#[tokio::test]
async fn discard_moves_all_objects_of_an_event() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    // The same event is archived again, for another reason.
    let malformed = Record::dead_letter("m-2", "e-1", "c-e-1").with("ERROR_CODE", "INVALID_JSON");
    desk.world.deliver(&[malformed]).await?;
    assert_eq!(keys(&desk, false).await?.len(), 2);
    close(&desk, "discard", &["--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, true).await?.len(), 2);
    close(&desk, "restore", &["--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, false).await?.len(), 2);
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED TARGET_REFUSED");
    Ok(())
}

#[tokio::test]
async fn discard_takes_all_objects_of_a_selected_event() -> TestResult {
    let desk = with_archived(&["e-1", "e-10"]).await?;
    let malformed = Record::dead_letter("m-2", "e-1", "c-e-1").with("ERROR_CODE", "INVALID_JSON");
    desk.world.deliver(&[malformed]).await?;
    for (command, selection) in [
        ("discard", &["--code", "PAYLOAD_MALFORMED", "--yes"][..]),
        ("restore", &["--code", "TARGET_REFUSED", "--yes"]),
        ("discard", &["--code", "TARGET_REFUSED", "--id", "e-1", "--yes"]),
    ] {
        let ran = close(&desk, command, selection).await?;
        assert!(ran.stderr.contains(&format!("which are {command}")), "{ran:?}");
        assert!(ran.stderr.contains("ed with them: 1"), "{ran:?}");
        ran.with(0)?;
        let closed = if command == "discard" { 2 } else { 0 };
        assert_eq!(keys(&desk, true).await?.len(), closed, "{command}");
        let sum = desk.run(&["reconcile", "--output", "json"]).await?;
        let unfinished = ["interrupted_discard", "object_of_discarded_event"];
        let found = sum.json()?;
        assert!(unfinished.iter().all(|it| found["findings"][it].is_null()), "{sum:?}");
        sum.with(0)?;
    }
    // A part of the archive: the other object is outside of it.
    close(&desk, "restore", &["--yes"]).await?.with(0)?;
    let all = keys(&desk, false).await?;
    let part = all.iter().find(|key| key.contains("PAYLOAD_MALFORMED")).ok_or("no object")?;
    close(&desk, "discard", &["--prefix", part, "--yes"]).await?.with(0)?;
    assert_eq!(keys(&desk, true).await?.len(), 2);
    assert_eq!(desk.world.state("e-10").await?, "ARCHIVED TARGET_REFUSED");
    Ok(())
}

#[tokio::test]
async fn discard_refuses_the_folder_of_discarded_events() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let refused = desk.run(&["discard", "--reason", "x", "--prefix", "discarded/"]).await?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("genesys-replay restore"), "{refused:?}");
    for options in [["--limit", "5"], ["--force", "--open"]] {
        let refused = desk.run(&[&["discard", "--reason", "x"], &options[..]].concat()).await?;
        assert_eq!(refused.code, Some(3), "an option without effect: {refused:?}");
    }
    Ok(())
}
