//! The reading of a queue, which every command shares: each message once, all held until the end, and all released.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::{AllowedTargets, Redirects, ReplayTarget};
use genesys_replay::replay::Limits;
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::plan::{PlanBuilder, PlanContext, Selection};
use genesys_replay_cli::operator::queue_reading::{
    QueueReading, ReadInterrupted, ReadScope, WholeReadError,
};
use genesys_replay_cli::operator::trace::{EventTrace, TracePlace, TraceSubject};
use genesys_test_support::{TestResult, conversation_event, eventually};
use tokio::process::Command;

use super::diagnose::lazy_queue::{LazyQueue, Mishap, dead_letter};
use super::large::Empty;
use super::plan::plan;
use crate::support::harness::{OperatorHarness, ended};

static TARGET: ReplayTarget = ReplayTarget::original(AllowedTargets::Any);

const NOW: Timestamp = Timestamp::from_millis(1_785_100_000_000);

/// Plans all messages of a queue. Returns the number of items.
async fn plan_of(
    queue: &LazyQueue,
    stop: impl Future<Output = ()>,
) -> Result<usize, Box<dyn Error>> {
    let selection = Selection::default();
    let context = PlanContext {
        target: &TARGET,
        redirects: &Redirects::NONE,
        queue_arn: "q",
        remember: Duration::from_secs(15 * 86_400),
        rules: Limits::default().rules(true),
    };
    let mut builder = PlanBuilder::new(&Empty, context, &selection, NOW);
    let reading = QueueReading::open(queue, false, &Silent).await?;
    builder.collect_from_queue(&reading, None, stop, &Silent).await?;
    Ok(builder.finish().await?.0.len())
}

#[tokio::test(start_paused = true)]
async fn plan_from_queue_receives_each_message_once_however_long_it_takes() -> TestResult {
    let mut queue = LazyQueue::new(4_000, dead_letter).redriven(10, 0);
    // 400 receives, 8 at a time: half an hour.
    queue.latency = Duration::from_secs(40);
    assert_eq!(plan_of(&queue, pending()).await?, 4_000);
    assert_eq!((queue.received_times(1), queue.lapsed(), queue.shown()), (4_000, 0, 4_000));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn interrupted_plan_from_queue_releases_all_messages() -> TestResult {
    let queue = LazyQueue::new(5_000, dead_letter);
    let stopped = plan_of(&queue, tokio::time::sleep(Duration::from_millis(500))).await;
    let error = stopped.err().ok_or("not interrupted")?;
    let released = queue.handed_out();
    assert_eq!(error.to_string(), format!("interrupted; {released} messages were released"));
    assert!(error.is::<WholeReadError>());
    assert_eq!(queue.shown(), 5_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn plan_from_queue_releases_all_messages_when_the_queue_fails() -> TestResult {
    let mut queue = LazyQueue::new(500, dead_letter);
    queue.mishap = Some(Mishap::Denied(20));
    let error = plan_of(&queue, pending()).await.err().ok_or("it was read")?.to_string();
    assert_eq!(error, "receiving: AWS denies the permission");
    assert!(queue.handed_out() > 100);
    assert_eq!(queue.shown(), 500);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn trace_receives_each_message_once_however_long_it_takes() -> TestResult {
    let mut queue = LazyQueue::new(4_000, dead_letter).redriven(10, 0);
    queue.latency = Duration::from_secs(40);
    let mut trace = EventTrace::of(TraceSubject::Event("e-3999".to_owned()));
    let place = TracePlace::Queue;
    let search = trace.search_queue(&queue, place, &TARGET, pending(), &Silent).await?;
    assert_eq!((search.keys.len(), trace.searched()[0].read), (1, 4_000));
    assert_eq!((queue.received_times(1), queue.shown()), (4_000, 4_000));
    let cost = "one receive of each of 4000 messages: 1 of 10 used at most";
    assert!(search.cost.is_some_and(|it| it.contains(cost)));

    let stop = tokio::time::sleep(Duration::from_secs(200));
    let stopped = trace.search_queue(&queue, place, &TARGET, stop, &Silent).await;
    assert!(matches!(stopped, Err(ReadInterrupted { released: 1.. })), "{stopped:?}");
    assert_eq!(queue.shown(), 4_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn receive_cost_counts_repeated_messages() -> TestResult {
    let mut queue = LazyQueue::new(25, dead_letter).redriven(10, 0);
    queue.repeats = true;
    let reading = QueueReading::open(&queue, false, &Silent).await?;
    let count = async |mut messages: tokio::sync::mpsc::Receiver<Vec<_>>| {
        let mut count = 0;
        while let Some(batch) = messages.recv().await {
            count += batch.len();
        }
        count
    };
    let read = reading.read_and_release(ReadScope::staying(None), pending(), count).await?;
    let cost = reading.cost();
    assert_eq!((read, cost.received, cost.repeated), (25, 25, 1));
    let shown = cost.shown().unwrap_or_default();
    assert!(shown.contains("of each of 25 messages, 1 more of repeated messages"), "{shown}");
    Ok(())
}

/// Puts messages on the queue without end, so that it is never read completely.
async fn put_without_end(desk: &OperatorHarness) -> Box<dyn Error> {
    loop {
        if let Err(error) = desk.put(&desk.queue, &conversation_event("e-2", "c-2"), &[]).await {
            return error;
        }
    }
}

/// Returns the numbers of visible messages and of those in flight.
async fn counts(desk: &OperatorHarness) -> Result<[u64; 2], Box<dyn Error>> {
    let sqs = aws_sdk_sqs::Client::new(&desk.world.aws.config());
    let call = sqs.get_queue_attributes().attribute_names(QueueAttributeName::All);
    let answer = call.queue_url(desk.world.aws.queue_url(&desk.queue).await?).send().await?;
    let attributes = answer.attributes.unwrap_or_default();
    let count = |name| attributes.get(&name).and_then(|it| it.parse().ok()).unwrap_or_default();
    Ok([
        count(QueueAttributeName::ApproximateNumberOfMessages),
        count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
    ])
}

/// Interrupts a command while it reads the queue.
async fn interrupted(desk: &OperatorHarness, arguments: &[&str]) -> TestResult {
    let program = desk.program(arguments).spawn()?;
    let pid = program.id().ok_or("it has ended")?.to_string();
    let ran = tokio::select! {
        error = put_without_end(desk) => return Err(error),
        ran = async {
            eventually("messages are held", async || {
                Ok((counts(desk).await?[1] > 20).then_some(()))
            })
            .await?;
            assert!(Command::new("kill").args(["-INT", &pid]).status().await?.success());
            ended(program).await
        } => ran?,
    };
    assert_eq!(ran.code, Some(130), "{arguments:?}: {ran:?}");
    assert!(ran.stderr.contains("messages were released"), "{arguments:?}: {ran:?}");
    assert_eq!(counts(desk).await?[1], 0, "{arguments:?}: all messages are visible");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_releases_the_messages_of_every_command_that_reads_a_queue() -> TestResult {
    let desk = OperatorHarness::open().await?;
    let target = ("TARGET_ARN", "arn:aws:lambda:eu-central-1:271828182845:function:crm");
    desk.put(&desk.queue, &conversation_event("e-1", "c-1"), &[target]).await?;
    plan(&desk, &["--from", "queue", "--id", "e-1"]).await?;
    std::fs::write(desk.file("patch.json"), r#"[{"op":"add","path":"/x","value":1}]"#)?;
    let edit = ["edit", "plan.json", "--patch", "patch.json", "--reason", "x", "--out", "new.json"];
    for arguments in [
        &["plan", "--from", "queue", "--reason", "x", "--out", "new.json"][..],
        &["discard", "--from", "queue", "--reason", "x", "--out", "new.json"],
        &["trace", "--event", "e-1"],
        &edit,
        &["apply", "plan.json", "--yes", "--to", "target"],
    ] {
        interrupted(&desk, arguments).await?;
        assert!(!desk.file("new.json").exists(), "{arguments:?}");
        assert!(!desk.file("plan.audit.jsonl").exists(), "{arguments:?}");
    }
    Ok(())
}
