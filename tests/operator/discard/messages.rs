//! Parked messages are stored before they leave their queue.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::{SystemClock, Timestamp};
use genesys_replay_cli::app;
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::apply::{AuditEntry, History, Journal, QueueSource};
use genesys_replay_cli::operator::close::{AuditLog, Close, Copied, MessageMover, Mover};
use genesys_replay_cli::operator::plan::{ClosingKind, Plan, PlanItem};
use genesys_replay_cli::operator::queue_reading::{QueueReadError, QueueReading};
use genesys_test_support::{TestResult, conversation_event};
use tokio_util::sync::CancellationToken;

use super::{close, item_of, keys};
use crate::support::harness::OperatorHarness;

const TARGET: (&str, &str) =
    ("TARGET_ARN", "arn:aws:lambda:eu-central-1:271828182845:function:crm");
const PARKING: [&str; 2] = ["--from", "parking"];

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

#[tokio::test]
async fn discard_stores_parked_messages_before_their_deletion() -> TestResult {
    let (desk, parking) = with_parked(&["e-1", "e-2", "e-3"]).await?;
    desk.put(&parking, "no event", &[]).await?;
    let by_id = ["--id", "e-1", "--id", "e-3", "--yes"];
    close(&desk, "discard", &[&PARKING[..], &by_id].concat()).await?.with(0)?;
    assert_eq!(desk.depth(&parking).await?, 2);
    assert_eq!(desk.world.aws.receive(&parking, 0).await?.len(), 2, "the others are visible");
    let stored = desk.world.aws.objects(&desk.bucket).await?;
    assert_eq!(stored.len(), 2);
    for (key, document) in &stored {
        assert!(key.starts_with("discarded/dlq/archives/v2.detail."), "{key}");
        assert!(key.contains("/EXHAUSTED/e-"), "{key}");
        assert_eq!(document["attributes"]["TARGET_ARN"], TARGET.1);
        assert_eq!(document["failure_reason"], "ticket 4711");
        let id = document["event_id"].as_str().ok_or("no id")?;
        assert_eq!(document["body"], conversation_event(id, &format!("c-{id}")));
        assert_eq!(desk.world.state(id).await?.split(' ').next(), Some("DISCARDED"));
    }
    Ok(())
}

#[tokio::test]
async fn discard_stores_parked_messages_that_are_not_events() -> TestResult {
    let (desk, parking) = with_parked(&[]).await?;
    let id = desk.put(&parking, "no event", &[]).await?;
    close(&desk, "discard", &[&PARKING[..], &["--yes"]].concat()).await?.with(0)?;
    assert_eq!(desk.depth(&parking).await?, 0);
    let found = keys(&desk, true).await?;
    assert!(found[0].contains("/unknown/NOT_AN_EVENT/"), "{found:?}");
    let item = item_of(&desk, &format!("{id}|unknown")).await?;
    assert_eq!(item.get("Status").map(String::as_str), Some("DISCARDED"));
    Ok(())
}

#[tokio::test]
async fn restored_parked_message_is_planned_and_delivered() -> TestResult {
    let (desk, _) = with_parked(&["e-1"]).await?;
    close(&desk, "discard", &[&PARKING[..], &["--yes"]].concat()).await?.with(0)?;
    close(&desk, "restore", &["--yes"]).await?.with(0)?;
    let found = keys(&desk, false).await?;
    assert!(found[0].starts_with("dlq/archives/v2.detail."), "{found:?}");
    assert_eq!(desk.world.state("e-1").await?, "ARCHIVED");
    desk.run(&["plan", "--reason", "again", "--local"]).await?.with(0)?;
    desk.run_beside_function(&["apply", "plan.json", "--yes", "--rate", "1000"]).await?.with(0)?;
    assert_eq!(desk.world.state("e-1").await?, "COMPLETED");
    assert_eq!(desk.world.deliveries(), 1);
    Ok(())
}

#[tokio::test]
async fn discard_from_parking_is_refused_without_an_archive() -> TestResult {
    let (mut desk, parking) = with_parked(&["e-1"]).await?;
    desk.world.set("ARCHIVE_BUCKET", "");
    let ran = close(&desk, "discard", &[&PARKING[..], &["--yes"]].concat()).await?;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.says("has no archive"), "{ran:?}");
    assert_eq!(desk.depth(&parking).await?, 1);
    Ok(())
}

/// The point at which a run ends with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CrashPoint {
    BeforeCopy,
    BeforeLedger,
    BeforeDelete,
    AfterDelete,
}

/// A mover of messages that ends the run at one point.
struct CrashingMover<M> {
    mover: M,
    at: CrashPoint,
}

impl<M> CrashingMover<M> {
    fn reach(&self, point: CrashPoint) -> Result<(), AwsError> {
        let operation = format!("{point:?}");
        let crash = AwsError { operation, kind: AwsErrorKind::Unreachable, detail: None };
        if self.at == point { Err(crash) } else { Ok(()) }
    }
}

impl<M: Mover + Sync> Mover for CrashingMover<M> {
    type Fetched = M::Fetched;

    async fn next(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<(usize, M::Fetched)>, QueueReadError> {
        self.mover.next(items, todo, most).await
    }

    async fn copy(
        &self,
        item: &PlanItem,
        fetched: M::Fetched,
        first_seen: Option<Timestamp>,
    ) -> Result<Copied, AwsError> {
        self.reach(CrashPoint::BeforeCopy)?;
        let copied = self.mover.copy(item, fetched, first_seen).await?;
        self.reach(CrashPoint::BeforeLedger).map(|()| copied)
    }

    async fn remove(&self, item: &PlanItem) -> Result<Result<(), String>, AwsError> {
        self.reach(CrashPoint::BeforeDelete)?;
        let removed = self.mover.remove(item).await?;
        self.reach(CrashPoint::AfterDelete).map(|()| removed)
    }

    async fn release(&mut self) {
        self.mover.release().await;
    }
}

/// An audit file.
struct AuditLines(std::fs::File);

impl Journal for AuditLines {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        writeln!(self.0, "{}", serde_json::to_string(entry)?)
    }
}

/// Begins the plan `discard.json`, and ends at a point.
async fn crash(desk: &OperatorHarness, parking: &str, at: CrashPoint) -> TestResult {
    let plan = Plan::read(desk.read("discard.json")?.as_bytes())?;
    let (aws, table) = (desk.world.aws.config(), &desk.world.aws.table);
    let archive = app::archive_writer(&aws, &desk.bucket);
    let (queue, stop) = (app::reader(&aws, parking).await?, CancellationToken::new());
    let reading = QueueReading::open(&queue, false, &Silent).await?;
    let source = QueueSource::new(&reading, &plan, &stop, &Silent);
    let reason = &plan.content.reason;
    let mover = MessageMover::new(source, &archive, "dlq/archives/", reason, &SystemClock);
    let mut journal = AuditLines(std::fs::File::create(desk.file("discard.audit.jsonl"))?);
    let run = Close {
        plan: &plan,
        kind: ClosingKind::Discard,
        history: History::default(),
        ledger: &app::ledger(&aws, table),
        writer: &app::ledger_writer(&aws, table, Duration::from_hours(360)),
        mover: CrashingMover { mover, at },
        journal: AuditLog::new(&mut journal),
        by: "marta".to_owned(),
        reason: None,
        to: "the archive".to_owned(),
        clock: &SystemClock,
        stop: &stop,
        progress: &Silent,
    };
    assert!(run.run().await.is_err(), "{at:?}");
    Ok(())
}

#[tokio::test]
async fn discard_of_a_message_resumes_after_a_crash() -> TestResult {
    for (at, is_stored, status, in_queue) in [
        (CrashPoint::BeforeCopy, false, "", 1),
        (CrashPoint::BeforeLedger, true, "", 1),
        (CrashPoint::BeforeDelete, true, "DISCARDED", 1),
        (CrashPoint::AfterDelete, true, "DISCARDED", 0),
    ] {
        let (desk, parking) = with_parked(&["e-1"]).await?;
        close(&desk, "discard", &PARKING).await?.with(0)?;
        crash(&desk, &parking, at).await?;
        let state = desk.world.state("e-1").await?;
        assert_eq!(state.split(' ').next(), Some(status), "{at:?}");
        assert_eq!(keys(&desk, true).await?.len(), usize::from(is_stored), "{at:?}");
        assert_eq!(desk.depth(&parking).await?, in_queue, "{at:?}");

        let ran = desk.run(&["apply", "discard.json", "--yes", "--resume"]).await?;
        assert!(ran.says("1 discarded"), "{at:?}: {ran:?}");
        ran.with(0)?;
        assert_eq!(desk.depth(&parking).await?, 0, "{at:?}");
        assert_eq!(keys(&desk, true).await?.len(), 1, "{at:?}");
        let state = desk.world.state("e-1").await?;
        assert_eq!(state.split(' ').next(), Some("DISCARDED"), "{at:?}");
    }
    Ok(())
}
