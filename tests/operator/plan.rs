//! `plan`: the selection, the reasons for omissions, and the rules of a plan file.

use std::error::Error;

use genesys_stand_in::Fault;
use genesys_test_support::{Record, TestResult, event, replay_harness::invoke};
use serde_json::{Value, json};

use crate::support::harness::OperatorHarness;

/// Returns a harness whose target has refused these events, so that they are in the archive.
pub(super) async fn with_archived(ids: &[&str]) -> Result<OperatorHarness, Box<dyn Error>> {
    let desk = OperatorHarness::open().await?;
    archive(&desk, ids).await?;
    Ok(desk)
}

/// Lets the function archive these events.
pub(super) async fn archive(desk: &OperatorHarness, ids: &[&str]) -> TestResult {
    let records: Vec<Record> = ids
        .iter()
        .map(|id| Record::dead_letter(&format!("m-{id}"), id, &format!("c-{id}")))
        .collect();
    archive_records(desk, &records).await
}

pub(super) async fn archive_records(desk: &OperatorHarness, records: &[Record]) -> TestResult {
    let refuses = Fault::on("POST", "/targets/").status(422);
    desk.world.genesys.fault(refuses.times(u32::try_from(records.len())?));
    let answer = invoke(&desk.world.function()?, event(records)).await??;
    assert_eq!(answer, Vec::<String>::new(), "all are archived");
    Ok(())
}

/// Makes a plan and returns its file.
pub(super) async fn plan(
    desk: &OperatorHarness,
    arguments: &[&str],
) -> Result<Value, Box<dyn Error>> {
    let name = "plan.json";
    // Some tests make several plans with the same name.
    let _ = std::fs::remove_file(desk.file(name));
    let mut all = vec!["--output", "json", "plan", "--reason", "the CRM was down"];
    all.extend(arguments);
    if !arguments.contains(&"--out") {
        all.push("--local");
    }
    let made = desk.run(&all).await?;
    if made.code == Some(1) {
        assert!(!desk.file(name).exists(), "an empty plan writes no file");
        let left_out = &made.json()?["left_out"];
        return Ok(json!({ "content": { "items": [], "left_out": left_out } }));
    }
    made.with(0)?;
    desk.document(name)
}

fn ids(plan: &Value) -> Vec<&str> {
    let items = plan["content"]["items"].as_array();
    let keys = items.into_iter().flatten().filter_map(|item| item["key"].as_str());
    let mut ids: Vec<&str> = keys.filter_map(|key| key.split('|').next()).collect();
    ids.sort_unstable();
    ids
}

fn left_out(plan: &Value) -> Vec<(String, u64)> {
    let list = plan["content"]["left_out"].as_array().into_iter().flatten();
    list.map(|it| {
        let reason = it["reason"].as_str().unwrap_or_default().to_owned();
        (reason, it["count"].as_u64().unwrap_or_default())
    })
    .collect()
}

#[tokio::test]
async fn plan_lists_archived_events_with_their_predicted_action() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    let plan = plan(&desk, &[]).await?;
    assert_eq!(ids(&plan), ["e-1", "e-2"]);
    let content = &plan["content"];
    assert_eq!(content["reason"], "the CRM was down");
    let author = content["created_by"].to_string();
    assert!(author.contains("marta (arn:aws:"), "{author}");
    assert_eq!(content["written_by"], genesys_replay_version::PROGRAM);
    assert_eq!(content["queue_arn"], desk.queue.as_str());
    let item = &content["items"][0];
    assert_eq!(item["failure_code"], "TARGET_REFUSED");
    assert_eq!(item["ledger"]["status"], "ARCHIVED");
    assert_eq!(item["predicted"], json!({ "attempt": 2, "marks_interaction": true }));
    assert!(!plan.to_string().contains("tel:+4930"), "no payload");
    assert_eq!(desk.depth(&desk.queue).await?, 0, "nothing is sent");
    Ok(())
}

#[tokio::test]
async fn plan_selects_by_every_filter() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let topic = "v2.detail.events.conversation.{id}.customer.end";
    std::fs::write(desk.file("ids.txt"), "# two\ne-1\n\ne-9\n")?;
    for (arguments, selected) in [
        (["--category", "ENDPOINT_UNREACHABLE"], true),
        (["--category", "UNKNOWN"], false),
        (["--code", "TARGET_REFUSED"], true),
        (["--code", "EXHAUSTED"], false),
        (["--topic", topic], true),
        (["--topic", "v2.routing.*"], false),
        (["--target", "http://127.0.0.1:*"], true),
        (["--target", "arn:*"], false),
        (["--interaction", "c-e-1"], true),
        (["--interaction", "c-e-2"], false),
        (["--id", "e-1"], true),
        (["--id", "e-2"], false),
        (["--ids", "ids.txt"], true),
        (["--since", "1h"], true),
        (["--since", "2999-01-01T00:00:00Z"], false),
        (["--until", "2999-01-01T00:00:00Z"], true),
        (["--until", "1h"], false),
        (["--prefix", "dlq/archives/v2.detail"], true),
        (["--prefix", "dlq/archives/v2.routing"], false),
        (["--from", "ledger"], true),
    ] {
        let plan = plan(&desk, &arguments).await?;
        let expected: &[&str] = if selected { &["e-1"] } else { &[] };
        assert_eq!(ids(&plan), expected, "{arguments:?}");
    }
    let named = plan(&desk, &["--ids", "ids.txt"]).await?;
    assert_eq!(left_out(&named), [("no dead letter with this id was found".to_owned(), 1)]);
    Ok(())
}

#[tokio::test]
async fn plan_from_ledger_filters_by_code_and_time_of_the_ledger() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    for (arguments, selected) in [
        (["--from", "ledger", "--code", "TARGET_REFUSED"], 2),
        (["--from", "ledger", "--code", "EXHAUSTED"], 0),
        (["--from", "ledger", "--since", "1h"], 2),
        (["--from", "ledger", "--until", "1h"], 0),
        (["--from", "ledger", "--topic", "v2.routing.*"], 0),
        (["--from", "ledger", "--id", "e-2"], 1),
    ] {
        let plan = plan(&desk, &arguments).await?;
        assert_eq!(ids(&plan).len(), selected, "{arguments:?}");
    }
    let key = desk.world.aws.objects(&desk.bucket).await?.remove(0).0;
    let delete = desk.world.aws.s3().delete_object();
    delete.bucket(&desk.bucket).key(key).send().await?;
    let plan = plan(&desk, &["--from", "ledger"]).await?;
    assert_eq!(ids(&plan).len(), 1);
    let missing = "the event is ARCHIVED in the ledger, but its object was not found (another prefix, or deleted?)";
    assert_eq!(left_out(&plan), [(missing.to_owned(), 1)]);
    Ok(())
}

#[tokio::test]
async fn plan_leaves_out_and_names_unsendable_objects() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    // Delivered meanwhile, by another plan.
    let sent = Record::dead_letter("m-3", "e-2", "c-e-2").with("ReplayPlan", "another");
    assert_eq!(desk.world.deliver(&[sent]).await?, Vec::<String>::new());
    archive_records(&desk, &[Record::new("m-4", "no event")]).await?;
    for (key, content) in
        [("foreign.txt", "not ours"), ("other.json", "{\"a\":1}"), ("photo", "\u{0}\u{1}")]
    {
        let put = desk.world.aws.s3().put_object().bucket(&desk.bucket);
        let put = put.key(format!("dlq/archives/{key}")).body(content.as_bytes().to_vec().into());
        put.send().await?;
    }
    let plan = plan(&desk, &[]).await?;
    assert_eq!(ids(&plan), ["e-1"]);
    let reasons: Vec<String> =
        left_out(&plan).into_iter().map(|(why, count)| format!("{count} {why}")).collect();
    for reason in [
        "1 the event was delivered already",
        "3 the object is not an archived dead letter",
        "1 not an event that can be delivered: the message body is not JSON",
    ] {
        assert!(reasons.iter().any(|it| it.starts_with(reason)), "{reason}: {reasons:?}");
    }
    Ok(())
}

#[tokio::test]
async fn plan_includes_unfinished_events_only_with_open() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    // Sent again and deferred, so its message is on the queue.
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(503).times(3));
    let sent = Record::dead_letter("m-3", "e-1", "c-e-1").with("ReplayPlan", "another");
    assert_eq!(desk.world.deliver(&[sent]).await?, ["m-3"]);
    assert_eq!(ids(&plan(&desk, &[]).await?), Vec::<&str>::new());
    assert_eq!(ids(&plan(&desk, &["--open"]).await?), ["e-1"]);
    Ok(())
}

#[tokio::test]
async fn plan_lists_an_event_once_when_archived_twice() -> TestResult {
    let mut desk = with_archived(&["e-1"]).await?;
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(500).times(1));
    desk.world.set("MAX_ATTEMPTS", "1");
    let sent =
        Record::dead_letter("m-3", "e-1", "c-e-1").with("ReplayPlan", "another").received(200);
    assert_eq!(desk.world.deliver(&[sent]).await?, Vec::<String>::new());
    assert_eq!(desk.world.aws.objects(&desk.bucket).await?.len(), 2, "for another reason");
    let plan = plan(&desk, &[]).await?;
    assert_eq!(ids(&plan), ["e-1"]);
    assert_eq!(plan["content"]["items"][0]["failure_code"], "EXHAUSTED", "the last one");
    Ok(())
}

#[tokio::test]
async fn plan_file_is_never_overwritten() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let before = desk.read("plan.json")?;
    let refused = desk.run(&["plan", "--reason", "again", "--local"]).await?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("plan.json already exists"), "{refused:?}");
    assert_eq!(desk.read("plan.json")?, before);
    Ok(())
}

#[tokio::test]
async fn plan_file_is_refused_when_changed_or_not_a_plan() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    let good = desk.read("plan.json")?;
    for (name, content, says) in [
        ("none.json", None, "cannot be read"),
        ("empty.json", Some(String::new()), "not a plan of this version"),
        ("binary.json", Some("\u{1}\u{2}".to_owned()), "not a plan of this version"),
        (
            "torn.json",
            Some(good.chars().take(good.len() / 2).collect()),
            "not a plan of this version",
        ),
        ("future.json", Some(good.replace("plan 1", "plan 2")), "genesys-replay plan 2"),
        (
            "changed.json",
            Some(good.replace("the CRM was down", "because")),
            "does not match the hash",
        ),
        (
            "more.json",
            Some(good.replace("\"edit_of\"", "\"surprise\": 1, \"edit_of\"")),
            "not a plan of this version",
        ),
        (
            "newer.json",
            Some(
                good.replace("\"edit_of\"", "\"surprise\": 1, \"edit_of\"")
                    .replace(genesys_replay_version::PROGRAM, "genesys-replay 99.0.0"),
            ),
            "cannot read a plan of genesys-replay 99.0.0; install that version",
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(desk.file(name), content)?;
        }
        for arguments in [&["apply", name, "--yes"][..], &["apply", name]] {
            let refused = desk.run(arguments).await?;
            assert_eq!(refused.code, Some(3), "{name}: {refused:?}");
            assert!(
                refused.stderr.contains(name) && refused.stderr.contains(says),
                "{name}: {refused:?}"
            );
        }
    }
    assert_eq!(desk.depth(&desk.queue).await?, 0);
    Ok(())
}

#[tokio::test]
async fn plan_output_has_no_control_characters_of_events() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let body = r#"{"id":"e-1","detail-type":"t\u001b[2J\u0007","source":"s","detail":{}}"#;
    let record = Record::new("m-1", body).with("ERROR_CODE", "TIMEOUT");
    archive_records(&desk, &[record]).await?;
    let made = desk.run(&["plan", "--reason", "x", "--local"]).await?;
    assert!(made.stdout.contains(r"t\u{1b}[2J\u{7}"), "{made:?}");
    for text in [&made.stdout, &made.stderr] {
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{made:?}");
    }
    Ok(())
}

/// Writes an archived dead letter as the function would, with these members instead.
async fn archived_as(desk: &OperatorHarness, key: &str, members: &[(&str, Value)]) -> TestResult {
    let mut document = desk.world.aws.objects(&desk.bucket).await?.remove(0).1;
    for (name, value) in members {
        document[*name] = value.clone();
    }
    let put = desk.world.aws.s3().put_object().bucket(&desk.bucket);
    let put = put.key(format!("dlq/archives/{key}.json"));
    put.body(document.to_string().into_bytes().into()).send().await?;
    Ok(())
}

#[tokio::test]
async fn plan_includes_expired_events_only_with_forgotten() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let body = genesys_test_support::conversation_event("e-old", "c-1");
    let long_ago = [("archived_at", json!("2026-01-01T00:00:00Z")), ("body", json!(body))];
    archived_as(&desk, "old", &long_ago).await?;
    let without = plan(&desk, &[]).await?;
    assert_eq!(ids(&without), ["e-1"]);
    let reasons = left_out(&without);
    assert!(reasons[0].0.contains("may have been delivered since"), "{reasons:?}");
    assert_eq!(ids(&plan(&desk, &["--forgotten"]).await?), ["e-1", "e-old"]);
    Ok(())
}

#[tokio::test]
async fn plan_skips_oversized_objects_and_invalid_keys() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    archived_as(&desk, "long-id", &[("message_id", json!("m".repeat(3_000)))]).await?;
    let put = desk.world.aws.s3().put_object().bucket(&desk.bucket);
    let put = put.key("dlq/archives/video.mp4").body(vec![0; 9 * 1024 * 1024].into());
    put.send().await?;
    let plan = plan(&desk, &[]).await?;
    assert_eq!(ids(&plan), ["e-1"]);
    let reasons: Vec<String> = left_out(&plan).into_iter().map(|it| it.0).collect();
    for reason in ["the object is too long", "the object is damaged: the member message_id"] {
        assert!(reasons.iter().any(|it| it.starts_with(reason)), "{reasons:?}");
    }
    Ok(())
}

#[tokio::test]
async fn plan_leaves_out_events_that_target_our_own_queue() -> TestResult {
    let mut desk = with_archived(&["e-1"]).await?;
    desk.world.set("REPLAY_TARGET", "");
    let queue = desk.queue.clone();
    archived_as(&desk, "loop", &[("attributes", json!({ "TARGET_ARN": queue }))]).await?;
    let plan = plan(&desk, &["--prefix", "dlq/archives/loop"]).await?;
    assert_eq!(ids(&plan), Vec::<&str>::new());
    assert!(left_out(&plan)[0].0.contains("is not in ALLOWED_TARGETS"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn plan_refuses_an_empty_list_of_ids() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    std::fs::write(desk.file("none.txt"), "\n# nothing\n")?;
    let refused = desk.run(&["plan", "--reason", "x", "--ids", "none.txt"]).await?;
    assert!(refused.stderr.contains("none.txt does not contain any ids"), "{refused:?}");
    refused.with(3)?;
    for empty in [&["--id", ""], &["--reason", ""]] {
        let refused = desk.run(&[&["plan", "--reason", "x"], &empty[..]].concat()).await?;
        refused.with(2)?;
    }
    Ok(())
}
