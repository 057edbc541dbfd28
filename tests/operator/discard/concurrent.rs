//! Several events are closed at a time, each with its whole audit.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use genesys_fakes::ManualClock;
use genesys_replay::aws::{AwsError, AwsErrorKind};
use genesys_replay::clock::Timestamp;
use genesys_replay_cli::ledger::{ClosingDecision, ExpectedItem, LedgerWriter, UnclaimedItem};
use genesys_replay_cli::operator::Silent;
use genesys_replay_cli::operator::apply::{
    ApplyError, AuditEntry, AuditEvent, ClosingStep, History, Journal,
};
use genesys_replay_cli::operator::close::{AuditLog, Close, CloseSummary, Copied, Mover, Original};
use genesys_replay_cli::operator::plan::{ClosingKind, PlanItem};
use genesys_replay_cli::operator::queue_reading::QueueReadError;
use genesys_test_support::TestResult;
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::large::Empty;
use crate::queue_source::plan;

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// A ledger that accepts every write.
struct Accepting;

impl LedgerWriter for Accepting {
    async fn discard(
        &self,
        _: &str,
        _: ExpectedItem<'_>,
        _: &ClosingDecision<'_>,
    ) -> Result<bool, AwsError> {
        Ok(true)
    }

    async fn create_discarded(
        &self,
        _: &str,
        _: &UnclaimedItem<'_>,
        _: &ClosingDecision<'_>,
    ) -> Result<bool, AwsError> {
        Ok(true)
    }

    async fn restore(
        &self,
        _: &str,
        _: ExpectedItem<'_>,
        _: &ClosingDecision<'_>,
    ) -> Result<bool, AwsError> {
        Ok(true)
    }

    async fn forget_unclaimed(&self, _: &str) -> Result<bool, AwsError> {
        Ok(true)
    }
}

/// A mover whose copies wait for another copy, and whose copy of one event fails.
struct Pairwise {
    copies: Arc<Barrier>,
    failing: Option<&'static str>,
}

impl Mover for Pairwise {
    type Fetched = ();

    async fn next(
        &mut self,
        _: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<(usize, ())>, QueueReadError> {
        Ok(todo.drain(..most.min(todo.len())).map(|index| (index, ())).collect())
    }

    async fn copy(
        &self,
        item: &PlanItem,
        (): (),
        _: Option<Timestamp>,
    ) -> Result<Copied, AwsError> {
        self.copies.wait().await;
        if self.failing == Some(item.event_id()) {
            let operation = "copying".to_owned();
            return Err(AwsError { operation, kind: AwsErrorKind::Denied, detail: None });
        }
        let (copy, message_id) = ("copy".to_owned(), item.event_id().to_owned());
        Ok(Copied::Verified(Original { copy, message_id, first_seen: NOW }))
    }

    async fn remove(&self, _: &PlanItem) -> Result<Result<(), String>, AwsError> {
        Ok(Ok(()))
    }

    async fn release(&mut self) {}
}

/// An audit with room for so many lines.
struct Lines(Vec<AuditEvent>, usize);

impl Journal for Lines {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        if self.0.len() >= self.1 {
            // The next line would have room again.
            self.1 += 10;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.push(entry.event.clone());
        Ok(())
    }
}

/// Discards this many events.
async fn discard(
    count: usize,
    failing: Option<&'static str>,
    journal: &mut Lines,
) -> Result<CloseSummary, ApplyError> {
    let run = Close {
        plan: &plan(0..count),
        kind: ClosingKind::Discard,
        history: History::default(),
        ledger: &Empty,
        writer: &Accepting,
        mover: Pairwise { copies: Arc::new(Barrier::new(2)), failing },
        journal: AuditLog::new(journal),
        by: "marta".to_owned(),
        reason: None,
        to: "the archive".to_owned(),
        clock: &ManualClock::at(NOW),
        stop: &CancellationToken::new(),
        progress: &Silent,
    };
    run.run().await
}

/// Returns the steps of each event in the order of the audit.
fn steps(journal: &Lines) -> BTreeMap<&str, Vec<String>> {
    let mut steps: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for event in &journal.0 {
        let (place, step) = match event {
            AuditEvent::StepBegun { place, step, .. } => (place, format!("{step:?} begun")),
            AuditEvent::StepDone { place, step, .. } => (place, format!("{step:?} done")),
            AuditEvent::Closed { place, outcome, .. } => (place, outcome.clone()),
            AuditEvent::Begun { .. }
            | AuditEvent::Wave { .. }
            | AuditEvent::Sending { .. }
            | AuditEvent::Sent { .. }
            | AuditEvent::NotSent { .. }
            | AuditEvent::Doubtful { .. }
            | AuditEvent::LeftParking { .. }
            | AuditEvent::LeftQueue { .. }
            | AuditEvent::Outcome { .. }
            | AuditEvent::NotClosed { .. }
            | AuditEvent::Part(_)
            | AuditEvent::TakenOver { .. }
            | AuditEvent::Aborted { .. }
            | AuditEvent::Superseded { .. }
            | AuditEvent::Ended { .. } => continue,
        };
        steps.entry(place).or_default().push(step);
    }
    steps
}

/// The lines of a discarded event: each step is announced before it begins.
fn whole() -> Vec<String> {
    let steps = [ClosingStep::Copy, ClosingStep::Ledger, ClosingStep::Delete];
    let lines = steps.iter().flat_map(|it| [format!("{it:?} begun"), format!("{it:?} done")]);
    lines.chain(["discarded".to_owned()]).collect()
}

#[tokio::test(start_paused = true)]
async fn discard_works_on_several_events_with_a_whole_audit_of_each() -> TestResult {
    let mut journal = Lines(Vec::new(), usize::MAX);
    let limit = Duration::from_secs(60);
    let summary = tokio::time::timeout(limit, discard(40, None, &mut journal)).await??;
    assert_eq!((summary.closed, summary.is_well()), (40, true));
    let steps = steps(&journal);
    assert_eq!(steps.len(), 40);
    assert!(steps.values().all(|steps| *steps == whole()), "{steps:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn discard_ends_the_steps_of_begun_events_when_one_fails() -> TestResult {
    let mut journal = Lines(Vec::new(), usize::MAX);
    let ended = discard(40, Some("m-3"), &mut journal).await;
    assert!(matches!(ended, Err(ApplyError::Aws(_))), "{ended:?}");
    let steps = steps(&journal);
    assert!((2..40).contains(&steps.len()), "no further event is begun: {}", steps.len());
    for (place, steps) in &steps {
        let failed = *place == "m-3" && *steps == ["Copy begun"];
        assert!(failed || *steps == whole(), "{place}: {steps:?}");
    }
    assert!(matches!(journal.0.last(), Some(AuditEvent::Ended { .. })));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn discard_writes_no_line_after_a_failed_one() -> TestResult {
    let mut journal = Lines(Vec::new(), 7);
    let limit = Duration::from_secs(60);
    let ended = tokio::time::timeout(limit, discard(2, None, &mut journal)).await?;
    assert!(matches!(ended, Err(ApplyError::Journal(_))), "{ended:?}");
    assert_eq!(journal.0.len(), 7);
    Ok(())
}
