//! Applies a plan in waves. Waves grow only while they succeed, and each dead letter is followed until it is settled.

mod drift;
mod follow;
mod journal;
mod letters;
mod parking;
mod resume;
mod sender;
mod wave;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Clock;
use genesys_replay::destination::ReplayTarget;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ledger::LedgerReader;
use crate::operator::Progress;
use crate::operator::plan::{Item, Plan};
pub use drift::{Drift, drift};
pub use journal::{Entry, Event, History, Journal, State, Torn};
pub use letters::{ArchiveLetters, Fetched, Letters, Lost};
pub use parking::ParkingLetters;
pub use sender::{Sender, Sending, ToQueue, ToTarget, marked};
use wave::{Wave, grown, share};

/// The pace and the stop conditions of a run.
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

/// The outcome of a dead letter that was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target accepted the event.
    Delivered,
    /// The event had been delivered before.
    DeliveredBefore,
    /// The function rejected the event again, for this reason, and archived it.
    Archived(String),
    /// The function rejected the event again, for this reason. The message returns to the queue until SQS moves the
    /// message to the parking queue.
    Failed(String),
}

impl Outcome {
    /// Returns the outcome's name for people and for the audit.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::DeliveredBefore => "delivered_before",
            Self::Archived(_) => "archived_again",
            Self::Failed(_) => "failed_again",
        }
    }

    /// Returns the failure code of an event that was not delivered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Delivered | Self::DeliveredBefore => None,
            Self::Archived(code) | Self::Failed(code) => Some(code),
        }
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to send.
    Done,
    /// Too many dead letters of a wave failed.
    TooManyFailures {
        /// The number of dead letters in the wave that failed or were deferred.
        failed: usize,
        /// The number of dead letters in the wave.
        of: usize,
    },
    /// The function did not attempt or settle a wave in time.
    Stuck {
        /// The number of dead letters that the function did not attempt.
        waiting: usize,
        /// The number of dead letters that the function attempted and deferred.
        deferred: usize,
    },
    /// An operator stopped the run.
    Interrupted,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The end of the run.
    pub ending: Ending,
    /// The number of settled dead letters, in this run and before, by [`Outcome::as_str`] and failure code.
    pub outcomes: BTreeMap<(String, String), u64>,
    /// The keys of dead letters that were sent and are not settled; the queue delivers them again.
    pub open: Vec<String>,
    /// The dead letters that were not sent: key and reason.
    pub not_sent: Vec<(String, String)>,
    /// The dead letters that may have been sent, or were attempted and are not settled: key and reason.
    pub doubtful: Vec<(String, String)>,
    /// The keys of dead letters that were sent and are still in the parking queue.
    pub lingering: Vec<String>,
    /// The number of dead letters that were not sent because the run ended before.
    pub left: usize,
}

/// The reason why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A call of AWS failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The audit cannot be written.
    #[error("the audit file cannot be written; nothing more was sent")]
    Journal(#[from] io::Error),
}

/// A run of a plan, with its ports.
pub struct Apply<'a, L, S, T> {
    /// The plan.
    pub plan: &'a Plan,
    /// The audit of earlier runs.
    pub history: History,
    /// The target of the function's deliveries.
    pub target: &'a ReplayTarget,
    /// The reader of the ledger.
    pub ledger: &'a L,
    /// The source of the dead letters.
    pub letters: S,
    /// The sender of the dead letters.
    pub sender: T,
    /// The writer of the audit.
    pub journal: &'a mut dyn Journal,
    /// The pace and the stop conditions.
    pub options: Options,
    /// The operator's name, for the audit.
    pub by: String,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The token that stops the run.
    pub stop: &'a CancellationToken,
    /// The progress display.
    pub progress: &'a dyn Progress,
}

/// The state of a run.
struct Run {
    /// The earliest time of the next call at the permitted rate.
    next: Instant,
    todo: VecDeque<usize>,
    outcomes: BTreeMap<(String, String), u64>,
    open: BTreeMap<usize, String>,
    not_sent: Vec<(String, String)>,
    doubtful: Vec<(String, String)>,
    lingering: Vec<String>,
}

impl<L: LedgerReader, S: Letters, T: Sender> Apply<'_, L, S, T> {
    /// Sends the dead letters that were not sent yet, and follows all that were sent.
    ///
    /// # Errors
    /// [`ApplyError`]: the audit contains everything that was sent until then, and the run can be resumed.
    pub async fn run(mut self) -> Result<Summary, ApplyError> {
        self.write(Event::Begun {
            plan: self.plan.id.clone(),
            hash: self.plan.hash.clone(),
            by: self.by.clone(),
            to: self.sender.name(),
            direct: !self.sender.is_followed(),
            resumed: self.history.hash.is_some(),
        })?;
        let mut run = Run {
            next: Instant::now(),
            todo: VecDeque::new(),
            outcomes: BTreeMap::new(),
            open: BTreeMap::new(),
            not_sent: Vec::new(),
            doubtful: Vec::new(),
            lingering: Vec::new(),
        };
        let ending = self.waves(&mut run).await;
        self.letters.close().await;
        self.progress.end();
        match &ending {
            Ok(ending) => self.write(Event::Ended {
                reason: ending.to_string(),
            })?,
            Err(error @ ApplyError::Aws(_)) => self.write(Event::Ended {
                reason: error.to_string(),
            })?,
            // Write nothing more: the audit may end in an incomplete line.
            Err(ApplyError::Journal(_)) => {}
        }
        Ok(Summary {
            ending: ending?,
            outcomes: run.outcomes,
            open: run
                .open
                .keys()
                .filter_map(|index| self.shown(*index))
                .collect(),
            not_sent: run.not_sent,
            doubtful: run.doubtful,
            lingering: run.lingering,
            left: run.todo.len(),
        })
    }

    async fn waves(&mut self, run: &mut Run) -> Result<Ending, ApplyError> {
        self.take_up(run).await?;
        self.progress
            .begin("sending", Some(self.plan.content.items.len() as u64));
        self.progress.advance(run.outcomes.values().sum());
        let mut wave = Wave::default();
        let mut size = self.options.canary.max(1);
        loop {
            if let Some(ending) = self.follow(run, &mut wave).await? {
                return Ok(ending);
            }
            if run.todo.is_empty() {
                return Ok(Ending::Done);
            }
            if wave.sent > 0 && share(&wave) >= self.options.abort_at {
                return Ok(Ending::TooManyFailures {
                    failed: wave.failed,
                    of: wave.sent,
                });
            }
            wave = self.send_wave(run, size).await?;
            if self.stop.is_cancelled() {
                return Ok(Ending::Interrupted);
            }
            size = grown(size, self.options.ramp);
        }
    }

    fn write(&mut self, event: Event) -> io::Result<()> {
        self.journal.write(&Entry::of(self.clock.now(), event))
    }

    fn shown(&self, index: usize) -> Option<String> {
        self.plan.content.items.get(index).map(Item::shown)
    }

    fn key(&self, index: usize) -> Option<String> {
        self.plan
            .content
            .items
            .get(index)
            .map(|item: &Item| item.key.clone())
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("nothing is left to send"),
            Self::TooManyFailures { failed, of } => {
                write!(f, "stopped: {failed} of the last {of} were not delivered")
            }
            Self::Stuck { waiting, deferred } => write!(
                f,
                "stopped: not settled in time: {waiting} not taken up, {deferred} deferred"
            ),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
