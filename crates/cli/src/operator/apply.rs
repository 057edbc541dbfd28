//! Applies a plan in waves. Waves grow only while they succeed, and each dead letter is followed until it is settled.

mod failures;
mod follow;
mod journal;
mod left_out;
mod queue_source;
mod resume;
mod sender;
mod source;
mod wave;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use std::{fmt, io};

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Clock;
use genesys_replay::destination::ReplayTarget;
use genesys_replay_version::PROGRAM;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ledger::LedgerReader;
use crate::operator::Progress;
use crate::operator::plan::{Plan, PlanItem};
use crate::operator::queue_reading::QueueReadError;
use crate::queue::receive_cost::ReceiveRefusal;
pub use failures::{ReplayFailure, add_reasons};
pub use journal::{
    AuditEntry, AuditEvent, AuditPart, ClosingStep, CorruptAudit, FlushError, History, ItemState,
    Journal,
};
pub use queue_source::{MAX_WAITING_BYTES, QueueSource};
pub use resume::{Drift, LedgerChange, drift};
pub use sender::{DirectSender, QueueSender, SendResult, Sender, tag_with_plan};
pub use source::{ArchiveSource, DeadLetterSource, FetchError, Fetched};
use wave::{Wave, grown, share};

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The maximum number of dead letters per second; more than 0.
    pub rate: f64,
    /// The size of the first wave, the canary; at least 1.
    pub canary: usize,
    /// The ramp: the growth factor from one wave to the next; at least 1.
    pub ramp: f64,
    /// The share of failures in a wave, from 0 to 1, at which no further wave begins.
    pub abort_at: f64,
    /// The maximum time to follow a wave before the wave counts as stuck.
    pub wait: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    Delivered,
    DeliveredBefore,
    /// An operator discarded the event.
    Discarded,
    /// The function rejected the event again, for this reason, and archived it.
    Archived(String),
    /// The function rejected the event again, for this reason. The message returns to the queue until SQS moves the
    /// message to the parking queue.
    Failed(String),
}

impl ReplayOutcome {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::DeliveredBefore => "delivered_before",
            Self::Discarded => "discarded",
            Self::Archived(_) => "archived_again",
            Self::Failed(_) => "failed_again",
        }
    }

    /// Returns the failure code of an event that was not delivered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Delivered | Self::DeliveredBefore | Self::Discarded => None,
            Self::Archived(code) | Self::Failed(code) => Some(code),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    #[default]
    Done,
    TooManyFailures {
        /// The number of dead letters in the wave that failed or were deferred.
        failed: usize,
        of: usize,
    },
    /// The function did not attempt or settle a wave in time.
    Stuck {
        /// The number of dead letters that the function did not attempt.
        waiting: usize,
        /// The number of dead letters that the function attempted and deferred.
        deferred: usize,
    },
    Interrupted,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub stop_reason: StopReason,
    /// The number of settled dead letters, in this run and before, by [`ReplayOutcome::as_str`] and failure code.
    pub outcomes: BTreeMap<(String, String), u64>,
    /// The keys of dead letters that were sent and are not settled; the queue delivers them again.
    pub open: Vec<String>,
    /// The dead letters that were not sent: key and reason.
    pub not_sent: Vec<(String, String)>,
    /// The dead letters of a queue that were not sent, because they changed or left the queue since the plan was made: key
    /// and reason.
    pub left_out: Vec<(String, String)>,
    /// The dead letters that may have been sent, or were attempted and are not settled: key and reason.
    pub doubtful: Vec<(String, String)>,
    /// The keys of dead letters that were sent and are still in the parking queue.
    pub still_in_source: Vec<String>,
    /// The number of dead letters that were not sent because the run ended before.
    pub left: usize,
    /// The first sent dead letters of this run that were not delivered, in the order of their waves.
    pub failures: Vec<ReplayFailure>,
}

impl Summary {
    /// Returns true if all dead letters were delivered and left their source.
    pub fn is_well(&self) -> bool {
        let in_queues = self.open.len() + self.still_in_source.len();
        let unsent = self.not_sent.len() + self.left_out.len() + self.doubtful.len();
        in_queues + unsent == 0 && self.outcomes.keys().all(|(_, code)| code.is_empty())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Receives(#[from] ReceiveRefusal),
    #[error("the audit file cannot be written; nothing more was sent")]
    Journal(#[from] io::Error),
    #[error(transparent)]
    Flush(#[from] FlushError),
}

impl ApplyError {
    /// Returns true if the audit was not written, so that nothing may be added to it.
    pub const fn is_about_audit(&self) -> bool {
        matches!(self, Self::Journal(_) | Self::Flush(_))
    }
}

impl From<QueueReadError> for ApplyError {
    fn from(error: QueueReadError) -> Self {
        match error {
            QueueReadError::Receives(refusal) => Self::Receives(refusal),
            QueueReadError::Aws(error) => Self::Aws(error),
        }
    }
}

/// A run of a plan, with its ports.
pub struct Apply<'a, L, S, T> {
    pub plan: &'a Plan,
    pub history: History,
    pub target: &'a ReplayTarget,
    pub ledger: &'a L,
    pub source: S,
    pub sender: T,
    pub journal: &'a mut dyn Journal,
    pub options: Options,
    /// The operator's name, for the audit and the ledger.
    pub by: String,
    /// The reason of this run, if it is not that of the plan.
    pub reason: Option<String>,
    pub clock: &'a dyn Clock,
    pub stop: &'a CancellationToken,
    pub progress: &'a dyn Progress,
}

#[derive(Default)]
struct Run {
    /// The earliest time of the next call at the permitted rate; `None` before the first call.
    next: Option<Instant>,
    /// The items to send, by index.
    todo: VecDeque<usize>,
    /// The sent items that are not settled, by index, with the ids of their messages.
    open: BTreeMap<usize, String>,
    /// The number of waves so far; 0 while the dead letters of an earlier run are followed.
    waves: usize,
    /// The sent items of this run that were not delivered, by index.
    failures: BTreeMap<usize, ReplayFailure>,
    summary: Summary,
}

impl Run {
    fn count(&mut self, outcome: &str, code: Option<&str>) {
        let key = (outcome.to_owned(), code.unwrap_or_default().to_owned());
        *self.summary.outcomes.entry(key).or_default() += 1;
    }
}

impl<L: LedgerReader, S: DeadLetterSource, T: Sender> Apply<'_, L, S, T> {
    /// Sends the dead letters that were not sent yet, and follows all that were sent.
    ///
    /// # Errors
    /// [`ApplyError`]: the audit contains everything that was sent until then, and the run can be resumed.
    pub async fn run(mut self) -> Result<Summary, ApplyError> {
        self.write(AuditEvent::Begun {
            plan: self.plan.id.clone(),
            hash: self.plan.hash.clone(),
            by: self.by.clone(),
            written_by: Some(PROGRAM.to_owned()),
            to: self.sender.name(),
            direct: !self.sender.is_followed(),
            resumed: self.history.hash.is_some(),
            reason: self.reason.clone(),
        })?;
        self.journal.flush().await?;
        let mut run = Run::default();
        let stop_reason = self.waves(&mut run).await;
        self.source.release_unsent().await;
        self.progress.end();
        // After a failed write, the audit may end in an incomplete line, which no line may follow.
        if !stop_reason.as_ref().is_err_and(ApplyError::is_about_audit) {
            let reason = stop_reason.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            self.write(AuditEvent::Ended { reason })?;
            self.journal.flush().await?;
        }
        let open = run.open.keys().map(|index| self.item(*index).shown());
        Ok(Summary {
            stop_reason: stop_reason?,
            open: open.collect(),
            left: run.todo.len(),
            failures: failures::first(run.failures),
            ..run.summary
        })
    }

    async fn waves(&mut self, run: &mut Run) -> Result<StopReason, ApplyError> {
        self.resume(run).await?;
        let items = self.plan.content.items.len();
        self.progress.begin("sending", Some(items as u64));
        self.progress.advance(run.summary.outcomes.values().sum());
        let mut wave = Wave::default();
        let mut size = self.options.canary.max(1);
        loop {
            if let Some(stop_reason) = self.follow(run, &mut wave).await? {
                return Ok(stop_reason);
            }
            if run.todo.is_empty() {
                return Ok(StopReason::Done);
            }
            if wave.sent > 0 && share(&wave) >= self.options.abort_at {
                return Ok(StopReason::TooManyFailures { failed: wave.failed, of: wave.sent });
            }
            wave = self.send_wave(run, size).await?;
            if self.stop.is_cancelled() {
                return Ok(StopReason::Interrupted);
            }
            if wave.sent > 0 {
                size = grown(size, self.options.ramp);
            }
        }
    }

    fn write(&mut self, event: AuditEvent) -> io::Result<()> {
        let at = self.clock.now().to_string();
        self.journal.write(&AuditEntry { at, event })
    }

    fn item(&self, index: usize) -> &PlanItem {
        &self.plan.content.items[index]
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done, no event is left to send"),
            Self::TooManyFailures { failed, of } => {
                write!(f, "stopped: {failed} of the last {of} were not delivered")
            }
            Self::Stuck { waiting, deferred } => write!(
                f,
                "stopped: not settled in time: {waiting} not claimed, {deferred} deferred"
            ),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
