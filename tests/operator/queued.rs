//! Plans of the queue that the function drains: a message is deleted once its copy is stored.

use std::error::Error;

use genesys_stand_in::Fault;
use genesys_test_support::{Record, TestResult, conversation_event};
use serde_json::json;

use super::apply::{APPLY, audit, once};
use super::items::{item, write};
use super::plan::plan;
use crate::support::harness::OperatorHarness;

const LAMBDA: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

const FROM_QUEUE: [&str; 2] = ["--from", "queue"];

/// Returns a harness whose queue has these events and allows so many receives, and the ARN of its parking queue.
async fn with_queued(
    ids: &[&str],
    receives: u32,
) -> Result<(OperatorHarness, String), Box<dyn Error>> {
    let desk = OperatorHarness::open().await?;
    let parking = desk.park(&desk.queue, receives).await?;
    for id in ids {
        let attributes = [("ERROR_CODE", "TIMEOUT"), ("TARGET_ARN", LAMBDA)];
        desk.put(&desk.queue, &conversation_event(id, &format!("c-{id}")), &attributes).await?;
    }
    Ok((desk, parking))
}

#[tokio::test]
async fn plan_from_queue_shows_its_receives_and_keeps_all_messages() -> TestResult {
    let (desk, _) = with_queued(&["e-1", "e-2", "e-3"], 10).await?;
    for used in 1..=2 {
        let _ = std::fs::remove_file(desk.file("plan.json"));
        let ran = desk
            .run(&["plan", "--local", "--reason", "x", "--from", "queue", "--id", "e-2"])
            .await?;
        let cost = format!(
            "reading the queue cost one receive of each of 3 messages: {used} of 10 used at most"
        );
        assert!(ran.stderr.contains(&cost), "{ran:?}");
        ran.with(0)?;
    }
    let plan = desk.document("plan.json")?;
    let item = &plan["content"]["items"][0];
    assert_eq!(item["original_target"], LAMBDA);
    assert_eq!(plan["content"]["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(plan["content"]["source"]["queue"]["queue_arn"], desk.queue.as_str());
    assert_eq!(desk.world.aws.receive(&desk.queue, 0).await?.len(), 3, "all are visible");
    Ok(())
}

#[tokio::test]
async fn plan_from_queue_stops_at_its_limit() -> TestResult {
    let ids: Vec<String> = (0..25).map(|number| format!("e-{number}")).collect();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (desk, _) = with_queued(&all, 10).await?;
    let ran =
        desk.run(&["plan", "--local", "--reason", "x", "--from", "queue", "--limit", "10"]).await?;
    assert!(ran.stderr.contains("stopped at --limit after 10 messages"), "{ran:?}");
    ran.with(0)?;
    let plan = desk.document("plan.json")?;
    assert_eq!(plan["content"]["items"].as_array().map(Vec::len), Some(10));
    Ok(())
}

#[tokio::test]
async fn plan_from_queue_is_refused_when_receives_run_out() -> TestResult {
    let arguments = ["plan", "--local", "--reason", "x", "--from", "queue"];
    let (tight, _) = with_queued(&["e-1"], 3).await?;
    let refused = tight.run(&arguments).await?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("after 3 receives"), "{refused:?}");
    assert!(refused.stderr.contains("--from parking"), "{refused:?}");

    let (desk, parking) = with_queued(&["e-1"], 4).await?;
    for _ in 0..3 {
        assert_eq!(desk.world.aws.receive(&desk.queue, 0).await?.len(), 1);
    }
    let refused = desk.run(&arguments).await?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("their 4 receives are used up"), "{refused:?}");
    assert!(!desk.file("plan.json").exists());

    let forced = desk.run(&[&arguments[..], &["--force"]].concat()).await?;
    assert!(forced.stderr.contains("are in the parking queue now"), "{forced:?}");
    assert_eq!(forced.code, Some(1), "the message was parked: {forced:?}");
    assert_eq!(desk.depth(&parking).await?, 1);
    Ok(())
}

#[tokio::test]
async fn forced_plan_names_messages_without_a_receive_left() -> TestResult {
    let (desk, parking) = with_queued(&[], 1).await?;
    let id = desk.put(&desk.queue, &conversation_event("e-1", "c-1"), &[]).await?;
    let arguments = ["plan", "--local", "--reason", "x", "--from", "queue", "--force"];
    let forced = desk.run(&arguments).await?;
    let parking = parking.rsplit(':').next().unwrap_or_default();
    let said = format!("which the next receive moves to {parking}: 1 ({id})");
    assert!(forced.stderr.contains(&said), "{forced:?}");
    Ok(())
}

#[tokio::test]
async fn apply_replaces_queued_messages_by_their_copies() -> TestResult {
    let ids = ["e-1", "e-2", "e-3"];
    let (desk, _) = with_queued(&ids, 10).await?;
    plan(&desk, &[&FROM_QUEUE[..], &["--id", "e-1", "--id", "e-3"]].concat()).await?;
    // The function does not run yet.
    let stuck = desk.run(&[&APPLY[..], &["--canary", "2", "--wait", "1ms"]].concat()).await?;
    assert_eq!(stuck.code, Some(5), "{stuck:?}");
    assert_eq!(audit(&desk, "left_queue")?.len(), 2);
    let found = desk.world.aws.receive(&desk.queue, 0).await?;
    assert_eq!(found.len(), 3, "no message is lost, and none is there twice");
    let copies = found.iter().filter(|message| {
        message.message_attributes.iter().flatten().any(|(name, _)| name == "ReplayPlan")
    });
    assert_eq!(copies.count(), 2);

    desk.run_beside_function(&[&APPLY[..], &["--resume"]].concat()).await?.with(0)?;
    let delivered = desk.delivered();
    assert!(once(&["e-1", "e-3"]).iter().all(|(id, count)| delivered.get(id) == Some(count)));
    Ok(())
}

#[tokio::test]
async fn apply_to_target_delivers_queued_events_without_the_function() -> TestResult {
    let (desk, _) = with_queued(&["e-1", "e-2"], 10).await?;
    plan(&desk, &[&FROM_QUEUE[..], &["--id", "e-2"]].concat()).await?;
    desk.run(&[&APPLY[..], &["--to", "target"]].concat()).await?.with(0)?;
    assert_eq!(desk.delivered(), once(&["e-2"]));
    assert_eq!(desk.depth(&desk.queue).await?, 1, "the other message stays");
    Ok(())
}

#[tokio::test]
async fn discard_from_queue_closes_events_for_good() -> TestResult {
    let (desk, _) = with_queued(&["e-1", "e-2", "e-3"], 10).await?;
    std::fs::write(desk.file("ids.txt"), "e-1\ne-3\n")?;
    let discard =
        ["discard", "--local", "--from", "queue", "--ids", "ids.txt", "--reason", "tests", "--yes"];
    let done = desk.run(&discard).await?.with(0)?;
    assert!(done.contains("2 discarded"), "{done}");
    assert_eq!(desk.depth(&desk.queue).await?, 1, "the other message stays");
    let objects = desk.world.aws.objects(&desk.bucket).await?;
    assert_eq!(objects.len(), 2);
    assert!(objects.iter().all(|(key, _)| key.starts_with("discarded/")), "{objects:?}");
    let traced = desk.run(&["--output", "json", "trace", "--event", "e-1"]).await?.json()?;
    assert_eq!(traced["events"][0]["status"], "DISCARDED");
    assert!(traced["events"][0]["now"].to_string().contains("/discarded/"), "{traced}");

    // A late copy of a closed event is not delivered.
    desk.put(&desk.queue, &conversation_event("e-1", "c-e-1"), &[]).await?;
    let function = desk.world.function()?;
    while desk.depth(&desk.queue).await? > 0 {
        desk.drain_once(&function).await?;
    }
    assert_eq!(desk.delivered(), once(&["e-2"]));
    Ok(())
}

#[tokio::test]
async fn resume_keeps_a_message_whose_copy_was_not_stored() -> TestResult {
    let (desk, _) = with_queued(&[], 10).await?;
    let attributes = [("ERROR_CODE", "TIMEOUT"), ("TARGET_ARN", LAMBDA)];
    let id = desk.put(&desk.queue, &conversation_event("e-1", "c-1"), &attributes).await?;
    let plan = plan(&desk, &FROM_QUEUE).await?;
    let key = plan["content"]["items"][0]["key"].as_str().ok_or("no key")?;
    // As after a kill before the copy was sent. Then the function received the original, and deferred the event.
    let lines = [
        json!({
            "at": "2026-12-01T00:00:00Z", "what": "begun", "plan": plan["id"], "hash": plan["hash"],
            "by": "marta", "to": "the queue", "direct": false, "resumed": false,
        }),
        json!({ "at": "2026-12-01T00:00:00Z", "what": "sending", "keys": [key] }),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n") + "\n";
    std::fs::write(desk.file("plan.audit.jsonl"), lines)?;
    let deferred = [("Status", "DEFERRED"), ("Step", "CLAIMED"), ("MessageId", id.as_str())];
    write(&desk.world.aws, vec![item(key, &deferred)?]).await?;
    desk.run(&[&APPLY[..], &["--resume", "--wait", "1ms"]].concat()).await?;
    assert_eq!(desk.depth(&desk.queue).await?, 1, "the event is still in the queue");
    Ok(())
}

/// Returns a plan of the events `e-0` to `e-11`, with 15 other messages in the queue.
async fn with_many_planned(receives: u32) -> Result<(OperatorHarness, String), Box<dyn Error>> {
    let ids: Vec<String> = (0..27).map(|number| format!("e-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (desk, parking) = with_queued(&ids, receives).await?;
    let by_id: Vec<&str> = ids[..12].iter().flat_map(|id| ["--id", id]).collect();
    plan(&desk, &[&FROM_QUEUE[..], &by_id].concat()).await?;
    Ok((desk, parking))
}

#[tokio::test]
async fn apply_parks_no_message_however_many_waves_it_has() -> TestResult {
    let (desk, parking) = with_many_planned(6).await?;
    let waves = ["--to", "target", "--ramp", "1"];
    let ran = desk.run(&[&APPLY[..], &waves].concat()).await?;
    let cost = "one receive of each of 27 messages: 2 of 6 used at most";
    assert!(ran.stderr.contains(cost), "{ran:?}");
    ran.with(0)?;
    assert_eq!(audit(&desk, "wave")?.len(), 12);
    assert_eq!(desk.delivered().len(), 12);
    assert_eq!([desk.depth(&parking).await?, desk.depth(&desk.queue).await?], [0, 15]);
    Ok(())
}

#[tokio::test]
async fn apply_and_edit_are_refused_when_receives_run_out() -> TestResult {
    let (desk, parking) = with_queued(&["e-1", "e-2"], 5).await?;
    plan(&desk, &[&FROM_QUEUE[..], &["--id", "e-1"]].concat()).await?;
    std::fs::write(desk.file("patch.json"), r#"[{"op":"add","path":"/x","value":1}]"#)?;
    for _ in 0..3 {
        assert_eq!(desk.world.aws.receive(&desk.queue, 0).await?.len(), 2);
    }
    let apply = [&APPLY[..], &["--to", "target"]].concat();
    let refused = desk.run(&apply).await?;
    assert!(refused.says("would move 1 of the 2 messages"), "{refused:?}");
    refused.with(3)?;
    assert!(!desk.file("plan.audit.jsonl").exists(), "nothing was begun");
    assert_eq!(desk.delivered(), once(&[]));
    // SQS parks the messages at the next receive.
    let edit = ["edit", "plan.json", "--patch", "patch.json", "--reason", "x", "--force"];
    let forced = desk.run(&edit).await?;
    assert!(forced.says("not where it was"), "{forced:?}");
    assert_eq!(desk.depth(&parking).await?, 2);
    Ok(())
}

#[tokio::test]
async fn apply_and_edit_are_refused_with_a_tight_redrive_policy() -> TestResult {
    let (desk, parking) = with_queued(&["e-1", "e-2"], 3).await?;
    plan(&desk, &[&FROM_QUEUE[..], &["--id", "e-1", "--force"]].concat()).await?;
    std::fs::write(desk.file("patch.json"), r#"[{"op":"add","path":"/x","value":1}]"#)?;
    let edit = ["edit", "plan.json", "--patch", "patch.json", "--reason", "x"];
    let discard = ["discard", "--from", "queue", "--reason", "x", "--yes"];
    let apply = [&APPLY[..], &["--to", "target"]].concat();
    for arguments in [&edit[..], &discard, &apply] {
        let refused = desk.run(arguments).await?;
        assert!(refused.says("after 3 receives") && refused.says("--force"), "{refused:?}");
        refused.with(3)?;
    }
    desk.run(&[&apply[..], &["--force"]].concat()).await?.with(0)?;
    assert_eq!(desk.delivered(), once(&["e-1"]));
    assert_eq!([desk.depth(&parking).await?, desk.depth(&desk.queue).await?], [0, 1]);
    Ok(())
}

/// Lets the function receive the messages of these events first, and answer them with this HTTP status.
async fn receive_first(desk: &OperatorHarness, ids: &[&str], status: u16) -> TestResult {
    let sqs = aws_sdk_sqs::Client::new(&desk.world.aws.config());
    let url = desk.world.aws.queue_url(&desk.queue).await?;
    let received = desk.world.aws.receive(&desk.queue, 30).await?;
    for message in received {
        let receipt = message.receipt_handle.ok_or("no receipt")?;
        let (body, id) = (message.body.unwrap_or_default(), message.message_id.ok_or("no id")?);
        let Some(event) = ids.iter().find(|id| body.contains(&format!("\"{id}\""))) else {
            desk.world.aws.show_again(&desk.queue, &receipt).await?;
            continue;
        };
        if status >= 300 {
            let fault = Fault::on("POST", "/targets/").status(status).times(3);
            desk.world.genesys.fault(fault);
        }
        let record = Record::dead_letter(&id, event, &format!("c-{event}"));
        let failed = desk.world.deliver(&[record]).await?;
        assert_eq!(failed.is_empty(), status < 300, "{event}");
        if failed.is_empty() {
            sqs.delete_message().queue_url(&url).receipt_handle(receipt).send().await?;
        } else {
            desk.world.aws.show_again(&desk.queue, &receipt).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn apply_leaves_out_messages_that_the_function_received() -> TestResult {
    let (desk, _) = with_queued(&["e-1", "e-2", "e-3", "e-4"], 10).await?;
    plan(&desk, &FROM_QUEUE).await?;
    receive_first(&desk, &["e-1"], 200).await?;
    receive_first(&desk, &["e-2"], 503).await?;
    desk.world.genesys.clear_calls();
    let preview = desk.run(&["apply", "plan.json"]).await?;
    assert!(preview.says("2 of 4 dead letters have changed in the ledger"), "{preview:?}");
    preview.with(0)?;

    let apply = [&APPLY[..], &["--to", "target", "--output", "json"]].concat();
    let ran = desk.run(&apply).await?;
    super::schemas::check("apply", &ran)?;
    let summary = ran.json()?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(desk.delivered(), once(&["e-3", "e-4"]));
    let left_out = summary["left_out"].as_array().ok_or("no list")?;
    let named = |id: &str, text: &str| {
        let of_id = |it: &&serde_json::Value| it["key"].to_string().contains(id);
        let found = left_out.iter().find(of_id);
        found.is_some_and(|it| it["reason"].to_string().contains(text))
    };
    assert!(named("e-1|", "now COMPLETED after 1 attempts"), "{summary}");
    assert!(named("e-2|", "now DEFERRED after 3 attempts"), "{summary}");
    assert_eq!((left_out.len(), &summary["not_sent"]), (2, &json!([])), "{summary}");
    let audited = audit(&desk, "not_sent")?;
    let reasons = audited.iter().filter_map(|line| line["reason"].as_str());
    assert_eq!(reasons.filter(|it| it.starts_with("left out: changed since")).count(), 2);
    assert_eq!(desk.depth(&desk.queue).await?, 1, "the message of e-2 stays");

    let resumed = desk.run(&[&APPLY[..], &["--to", "target", "--resume"]].concat()).await?;
    assert!(resumed.says("2 left out: changed, or received by the function"), "{resumed:?}");
    resumed.with(1)?;
    assert_eq!(desk.delivered(), once(&["e-3", "e-4"]));
    Ok(())
}

#[tokio::test]
async fn apply_beside_the_function_delivers_every_queued_event_once() -> TestResult {
    let ids: Vec<String> = (0..20).map(|number| format!("e-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (desk, _) = with_queued(&ids, 10).await?;
    plan(&desk, &FROM_QUEUE).await?;
    let function = desk.world.function()?;
    // The function goes on with the queue between plan and apply.
    while desk.drain_once(&function).await? == 0 {}
    let ran = desk.run_beside_function(&APPLY).await?;
    assert!(ran.says("left out: changed, or received by the function"), "{ran:?}");
    ran.with(1)?;
    while desk.depth(&desk.queue).await? > 0 {
        desk.drain_once(&function).await?;
    }
    assert_eq!(desk.delivered(), once(&ids));
    Ok(())
}

#[tokio::test]
async fn discard_of_queued_events_leaves_changed_ones() -> TestResult {
    let (desk, _) = with_queued(&["e-1", "e-2"], 10).await?;
    let discard = ["discard", "--from", "queue", "--reason", "tests", "--local"];
    desk.run(&discard).await?.with(0)?;
    receive_first(&desk, &["e-1"], 200).await?;
    let ran = desk.run(&["apply", "discard.json", "--yes"]).await?;
    assert!(ran.says("1 discarded") && ran.says("1 not changed"), "{ran:?}");
    ran.with(1)?;
    assert_eq!(desk.world.state("e-1").await?, "COMPLETED");
    Ok(())
}
