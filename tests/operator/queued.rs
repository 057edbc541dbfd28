//! Plans of the queue that the function drains: a message is deleted once its copy is stored.

use std::error::Error;

use genesys_test_support::{TestResult, conversation_event};
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
