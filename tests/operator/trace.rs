//! `trace`: one time line from all places, and the searched places of an unknown id.

use std::error::Error;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::{Clock, SystemClock, Timestamp};
use genesys_replay::destination::{AllowedTargets, ReplayTarget};
use genesys_replay::message::{Message, MessageId};
use genesys_replay_cli::app;
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::trace::{
    EventTrace, LogLine, LogReader, TracePlace, TraceSubject,
};
use genesys_stand_in::Fault;
use genesys_test_support::{LocalAws, Record, TestResult, conversation_event};
use serde_json::Value;

use super::apply::APPLY;
use super::diagnose::lazy_queue::LazyQueue;
use super::items::{item, write};
use super::plan::{plan, with_archived};
use crate::support::harness::{OperatorHarness, ended};
use crate::support::program::Ran;

const LAMBDA: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

async fn trace(desk: &OperatorHarness, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
    desk.run(&[&["--output", "json", "trace"], arguments].concat()).await
}

/// Returns the traced events of a run that found some.
async fn traced(desk: &OperatorHarness, arguments: &[&str]) -> Result<Vec<Value>, Box<dyn Error>> {
    let found: Value = serde_json::from_str(&trace(desk, arguments).await?.with(0)?)?;
    Ok(found["events"].as_array().ok_or("no events")?.clone())
}

/// Returns the places of an event's time line, in order.
fn places(event: &Value) -> Vec<&str> {
    let entries = event["entries"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["place"].as_str()).collect()
}

fn text<'e>(event: &'e Value, member: &str) -> &'e str {
    event[member].as_str().unwrap_or_default()
}

#[tokio::test]
async fn trace_shows_an_archived_event_and_its_next_step() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    for subject in [["--interaction", "c-e-1"], ["--event", "e-1"], ["--message", "m-e-1"]] {
        let events = traced(&desk, &subject).await?;
        assert_eq!(events.len(), 1, "{subject:?}");
        let event = &events[0];
        assert_eq!(places(event), ["event", "ledger", "archive", "ledger"], "{event}");
        assert_eq!([text(event, "event_id"), text(event, "interaction_id")], ["e-1", "c-e-1"]);
        assert_eq!(
            [text(event, "status"), text(event, "failure_code")],
            ["ARCHIVED", "TARGET_REFUSED"]
        );
        assert_eq!(text(event, "original_target"), LAMBDA);
        assert!(text(event, "now").contains(&format!("s3://{}/dlq/", desk.bucket)), "{event}");
        assert!(
            text(event, "next").contains("; genesys-replay plan --id e-1 --reason TEXT, then"),
            "{event}"
        );
        assert!(event.to_string().contains("answered 422"), "{event}");
        assert!(!event.to_string().contains("tel:+4930"), "no payload");
    }
    Ok(())
}

#[tokio::test]
async fn trace_shows_the_steps_of_an_applied_plan() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    plan(&desk, &[]).await?;
    desk.run_beside_function(&APPLY).await?.with(0)?;
    let audit = desk.read("plan.audit.jsonl")?;
    let sent = audit.lines().find(|line| line.contains("\"sent\"")).ok_or("not sent")?;
    let sent: Value = serde_json::from_str(sent)?;
    for subject in [["--interaction", "c-e-1"], ["--message", text(&sent, "message_id")]] {
        let event = &traced(&desk, &subject).await?[0];
        let places = places(event);
        assert_eq!(places.iter().filter(|place| **place == "audit").count(), 2, "{event}");
        assert_eq!([text(event, "status"), text(event, "next")], ["COMPLETED", "nothing to do"]);
        assert!(text(event, "now").starts_with("delivered to http"), "{event}");
        assert!(event.to_string().contains("by marta"), "{event}");
    }
    let shown = desk.run(&["trace", "--event", "e-1"]).await?.with(0)?;
    assert!(shown.contains("now:             delivered to"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn trace_finds_messages_that_were_not_attempted() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let parking = desk.park(&desk.queue, 10).await?;
    let attributes = [("ERROR_CODE", "TIMEOUT"), ("TARGET_ARN", LAMBDA)];
    let queued = desk.put(&desk.queue, &conversation_event("e-1", "c-1"), &attributes).await?;
    let parked = desk.put(&parking, &conversation_event("e-2", "c-1"), &attributes).await?;
    let events = traced(&desk, &["--interaction", "c-1"]).await?;
    let now: Vec<&str> = events.iter().map(|event| text(event, "now")).collect();
    assert_eq!(
        now,
        ["in the queue, and not attempted yet", "in the parking queue, without an attempt"]
    );
    for (message, place) in [(&queued, "queue"), (&parked, "parking_queue")] {
        let event = &traced(&desk, &["--message", message]).await?[0];
        assert_eq!(places(event), ["event", place], "{event}");
    }
    assert_eq!(desk.world.aws.receive(&desk.queue, 0).await?.len(), 1, "visible again");
    Ok(())
}

#[tokio::test]
async fn trace_shows_a_deferred_event() -> TestResult {
    let desk = OperatorHarness::open().await?;
    desk.world.genesys.fault(Fault::on("POST", "/targets/").status(503).times(3));
    desk.world.deliver(&[Record::dead_letter("m-1", "e-1", "c-1")]).await?;
    let event = &traced(&desk, &["--message", "m-1"]).await?[0];
    assert_eq!(
        [text(event, "status"), text(event, "failure_code")],
        ["DEFERRED", "TARGET_UNAVAILABLE"]
    );
    assert!(text(event, "now").starts_with("waits for its next attempt"), "{event}");
    assert!(event.to_string().contains("DEFERRED TARGET_UNAVAILABLE after attempt 3"), "{event}");
    Ok(())
}

#[tokio::test]
async fn trace_names_the_searched_places_when_nothing_is_found() -> TestResult {
    let mut desk = with_archived(&["e-1"]).await?;
    let parking = desk.park(&desk.queue, 10).await?;
    std::fs::write(desk.file("old.audit.jsonl"), "")?;
    let ran = trace(&desk, &["--interaction", "c-9"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let name = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    for searched in [
        format!("searched: ledger {}, 1 read", desk.world.aws.table),
        format!("searched: archive s3://{}/dlq/archives/, 1 read", desk.bucket),
        format!("searched: queue {}, 0 read", name(&desk.queue)),
        format!("searched: parking queue {}, 0 read", name(&parking)),
        "searched: audit old.audit.jsonl, 0 read".to_owned(),
    ] {
        assert!(ran.stderr.contains(&searched), "{searched}: {ran:?}");
    }
    // A place that cannot be read does not hide the others.
    desk.world.set("ARCHIVE_BUCKET", "no-such-bucket-of-trace");
    let ran = trace(&desk, &["--event", "e-1", "--no-queues"]).await?;
    assert!(ran.stderr.contains("warning: archive s3://no-such-bucket-of-trace"), "{ran:?}");
    assert!(ran.with(0)?.contains("ARCHIVED"));
    Ok(())
}

#[tokio::test]
async fn trace_leaves_out_a_queue_when_receives_run_out() -> TestResult {
    let desk = OperatorHarness::open().await?;
    desk.park(&desk.queue, 3).await?;
    let message = desk.put(&desk.queue, &conversation_event("e-1", "c-1"), &[]).await?;
    let ran = trace(&desk, &["--message", &message]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("after 3 receives"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn trace_is_refused_without_one_id() -> TestResult {
    let desk = OperatorHarness::open().await?;
    for arguments in
        [&["--no-queues"][..], &["--event", "e", "--message", "m"], &["e", "--event", "e"]]
    {
        assert_eq!(trace(&desk, arguments).await?.code, Some(2), "{arguments:?}");
    }
    let ran = trace(&desk, &["--event", "e-1", "--logs"]).await?;
    assert!(ran.code == Some(3) && ran.stderr.contains("--function"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn trace_reads_the_attempts_from_the_log() -> TestResult {
    let aws = LocalAws::start().await?;
    let group = LocalAws::name("log");
    let logs = aws_sdk_cloudwatchlogs::Client::new(&aws.config());
    logs.create_log_group().log_group_name(&group).send().await?;
    logs.create_log_stream().log_group_name(&group).log_stream_name("s").send().await?;
    let now = SystemClock.now();
    let line = |event: &str| {
        let line = serde_json::json!({
            "message": "dead letter handled", "outcome": "deferred", "failure_code": "TARGET_UNAVAILABLE",
            "reason": "the target answered 503", "attempt": 3, "deferred_ms": 2_500, "message_id": "m-1",
            "event_id": event, "interaction_id": "c-1", "target": "https://crm.example/events",
        });
        aws_sdk_cloudwatchlogs::types::InputLogEvent::builder()
            .timestamp(i64::try_from(now.as_millis()).unwrap_or_default())
            .message(line.to_string())
            .build()
    };
    let call = logs.put_log_events().log_group_name(&group).log_stream_name("s");
    call.log_events(line("e-1")?).log_events(line("e-2")?).send().await?;
    let mut trace = EventTrace::of(TraceSubject::Event("e-1".to_owned()));
    let since = Timestamp::from_millis(now.as_millis() - 60_000);
    trace.search_log(&app::logs(&aws.config(), &group), &group, since, &Silent).await;
    let events = trace.events(now);
    assert_eq!(events.len(), 1, "{:?}", trace.searched());
    assert_eq!(
        events[0].entries[0].what,
        "dead letter handled: deferred TARGET_UNAVAILABLE, the target answered 503, attempt 3, next in 3 s"
    );
    assert!(events[0].now.starts_with("not found any more"));

    let mut nowhere = EventTrace::of(TraceSubject::Event("e-1".to_owned()));
    nowhere
        .search_log(&app::logs(&aws.config(), "no-such-group"), "no-such-group", since, &Silent)
        .await;
    let problem = nowhere.searched()[0].problem.clone().unwrap_or_default();
    assert!(problem.contains("no-such-group"), "{problem}");
    Ok(())
}

#[tokio::test]
async fn trace_finds_any_kind_of_id() -> TestResult {
    let desk = with_archived(&["e-1", "e-2"]).await?;
    for id in ["c-e-1", "e-1", "m-e-1"] {
        let events = traced(&desk, &[id]).await?;
        assert_eq!(events.len(), 1, "{id}");
        assert_eq!(text(&events[0], "event_id"), "e-1", "{id}");
    }
    let shown = desk.run(&["trace", "e-1"]).await?.with(0)?;
    let times = shown.lines().filter(|line| line.starts_with("  20"));
    let times: Vec<&str> = times.filter_map(|line| line.get(2..22)).collect();
    assert!(times.len() > 2 && times.iter().all(|time| time.ends_with('Z')), "{shown}");
    Ok(())
}

#[tokio::test]
async fn trace_shows_the_audit_of_a_target_with_a_password() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let lines = [
        r#"{"at":"2026-12-01T00:00:00Z","what":"begun","plan":"p","hash":"h","by":"marta","to":"q","direct":false,"resumed":false}"#,
        r#"{"at":"2026-12-01T00:00:01Z","what":"sent","key":"e-1|https://user:secret@crm.example/events?token=t","message_id":"m-9"}"#,
    ];
    std::fs::write(desk.file("plan.audit.jsonl"), lines.join("\n") + "\n")?;
    // The event was archived for this target.
    let members = [("Status", "ARCHIVED"), ("Target", "https://crm.example/events")];
    let key = "e-1|https://user:secret@crm.example/events?token=t";
    write(&desk.world.aws, vec![item(key, &members)?]).await?;
    let ran = trace(&desk, &["--event", "e-1"]).await?;
    assert!(!ran.says("secret") && !ran.says("token"), "{ran:?}");
    let events = ran.json()?;
    let events = events["events"].as_array().ok_or("no events")?;
    let sent: Vec<&str> = events
        .iter()
        .filter(|event| places(event).contains(&"audit"))
        .map(|event| text(event, "target"))
        .collect();
    assert_eq!(sent, ["https://crm.example/events"], "{events:?}");
    Ok(())
}

#[tokio::test]
async fn trace_shows_the_reason_of_a_discard_and_a_restore() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let close = ["--id", "e-1", "--yes"];
    desk.run(&[&["discard", "--reason", "a test call"], &close[..]].concat()).await?.with(0)?;
    let shown = desk.run(&["trace", "e-1"]).await?.with(0)?;
    // The author is the name with the AWS identity.
    let is_by_marta =
        |line: &str, reason: &str| line.contains(" by marta (arn:") && line.ends_with(reason);
    let of_ledger =
        shown.lines().find(|line| line.contains(" ledger ") && line.contains("DISCARDED"));
    assert!(of_ledger.is_some_and(|line| is_by_marta(line, ": a test call")), "{shown}");
    desk.run(&[&["restore", "--reason", "not a test"], &close[..]].concat()).await?.with(0)?;
    let event = &traced(&desk, &["e-1"]).await?[0];
    let entries = event["entries"].as_array().ok_or("no entries")?;
    let audited = entries.iter().filter(|entry| entry["place"] == "audit");
    let audited: Vec<&str> = audited.map(|entry| text(entry, "what")).collect();
    assert_eq!(audited.len(), 2, "{event}");
    assert!(audited[0].starts_with("discarded by plan-"), "{event}");
    assert!(is_by_marta(audited[0], ": a test call"), "{event}");
    assert!(is_by_marta(audited[1], ": not a test"), "{event}");
    Ok(())
}

#[tokio::test]
async fn trace_shows_the_reason_of_a_run_instead_of_its_plan() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let discard = ["discard", "--reason", "of the plan", "--out", "discard.json"];
    desk.run(&discard).await?.with(0)?;
    let apply = ["apply", "discard.json", "--yes", "--reason", "of the run"];
    desk.run(&apply).await?.with(0)?;
    let event = &traced(&desk, &["e-1"]).await?[0];
    let entries = event["entries"].as_array().ok_or("no entries")?;
    let audited = entries.iter().find(|entry| entry["place"] == "audit").ok_or("no audit")?;
    assert!(text(audited, "what").ends_with(": of the run"), "{event}");
    Ok(())
}

#[tokio::test]
async fn trace_names_unreadable_queues_and_audits() -> TestResult {
    let mut desk = with_archived(&["e-1"]).await?;
    std::fs::create_dir(desk.file("folder.audit.jsonl"))?;
    std::fs::write(desk.file("old.audit.jsonl"), "{}\nnot an audit\n")?;
    desk.queue.push_str("-gone");
    let ran = trace(&desk, &["--event", "e-1"]).await?;
    for problem in [
        "warning: queue: ",
        "warning: audit folder.audit.jsonl: folder.audit.jsonl cannot be read",
        "warning: audit old.audit.jsonl: lines that are not of an audit: 2",
    ] {
        assert!(ran.stderr.contains(problem), "{problem}: {ran:?}");
    }
    assert!(ran.with(0)?.contains("ARCHIVED"), "the other places are shown");
    Ok(())
}

#[tokio::test]
async fn trace_leaves_out_queues_when_none_is_named() -> TestResult {
    let desk = with_archived(&["e-1"]).await?;
    let program =
        desk.program(&["trace", "--event", "e-1"]).env_remove("REPLAY_QUEUE_URL").spawn()?;
    let ran = ended(program).await?;
    assert!(ran.stderr.contains("warning: queue: not searched: the queue is not named"), "{ran:?}");
    assert!(ran.with(0)?.contains("ARCHIVED"));
    Ok(())
}

/// A log without lines.
struct EmptyLog;

impl LogReader for EmptyLog {
    async fn search(
        &self,
        texts: &[String],
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<LogLine>, AwsError> {
        assert!(texts.len() <= 21 && texts.contains(&"c-1".to_owned()), "{texts:?}");
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn trace_names_ids_that_were_not_searched_in_the_log() -> TestResult {
    let make = |number: usize| {
        let id = MessageId::new(format!("m-{number}")).unwrap_or_else(|| unreachable!());
        Message::new(id, conversation_event(&format!("e-{number}"), "c-1"))
    };
    for (count, is_complete) in [(20, true), (25, false)] {
        let mut trace = EventTrace::of(TraceSubject::Interaction("c-1".to_owned()));
        let (queue, target) =
            (LazyQueue::new(count, make), ReplayTarget::original(AllowedTargets::Any));
        let place = TracePlace::Queue;
        trace.search_queue(&queue, place, &target, std::future::pending(), &Silent).await?;
        trace.search_log(&EmptyLog, "log", Timestamp::from_millis(0), &Silent).await;
        let problem = trace.searched()[1].problem.clone();
        assert_eq!(problem.is_none(), is_complete, "{problem:?}");
        let named = "5 of the found events were not searched, after the first 20";
        assert!(is_complete || problem.is_some_and(|it| it.starts_with(named)));
    }
    Ok(())
}
