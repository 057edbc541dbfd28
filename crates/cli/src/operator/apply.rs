//! Applying a plan: in waves that grow only while they go well, each dead letter followed to its end.

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

/// How carefully a plan is applied.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most dead letters a second; more than 0.
    pub rate: f64,
    /// The size of the first wave; at least 1.
    pub canary: usize,
    /// How much larger each wave is than the one before; at least 1.
    pub ramp: f64,
    /// The share of a wave that has failed at which no further wave begins, from 0 to 1.
    pub abort_at: f64,
    /// How long a wave is followed before it counts as stuck.
    pub wait: Duration,
}

/// What became of a dead letter that was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target accepted it.
    Delivered,
    /// It had been delivered before.
    DeliveredBefore,
    /// It was given up again, for this reason, and is in the archive.
    Archived(String),
    /// It was given up again, for this reason, and comes back until it is in the parking queue.
    Failed(String),
}

impl Outcome {
    /// The word for people and for the audit.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::DeliveredBefore => "delivered_before",
            Self::Archived(_) => "archived_again",
            Self::Failed(_) => "failed_again",
        }
    }

    /// Why it was not delivered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Delivered | Self::DeliveredBefore => None,
            Self::Archived(code) | Self::Failed(code) => Some(code),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to send.
    Done,
    /// Too many of a wave failed.
    TooManyFailures {
        /// How many of it failed, or were deferred.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// A wave was not attempted, or not settled, in time.
    Stuck {
        /// How many were not taken up.
        waiting: usize,
        /// How many were, and failed for now.
        deferred: usize,
    },
    /// A person has stopped it.
    Interrupted,
}

/// What a run has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// What became of those that are settled, in this run and before, by [`Outcome::as_str`] and failure code.
    pub outcomes: BTreeMap<(String, String), u64>,
    /// Sent, and open: the queue goes on with them. Their keys.
    pub open: Vec<String>,
    /// Not sent, and why, by key.
    pub not_sent: Vec<(String, String)>,
    /// May have been sent, or were begun and are open, and why, by key.
    pub doubtful: Vec<(String, String)>,
    /// Sent, and still in the parking queue, by key.
    pub lingering: Vec<String>,
    /// Not sent, since the run ended before.
    pub left: usize,
}

/// Why a run ended where nobody wanted it to.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// AWS does not do what it was asked.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The audit cannot be written.
    #[error("the audit file cannot be written; nothing more was sent")]
    Journal(#[from] io::Error),
}

/// A run: one plan, and all that it needs.
pub struct Apply<'a, L, S, T> {
    /// The plan.
    pub plan: &'a Plan,
    /// What an earlier run has done.
    pub history: History,
    /// Where the function delivers events.
    pub target: &'a ReplayTarget,
    /// What knows how events stand.
    pub ledger: &'a L,
    /// Where the dead letters are.
    pub letters: S,
    /// Where they are sent.
    pub sender: T,
    /// Where it is written down.
    pub journal: &'a mut dyn Journal,
    /// How carefully.
    pub options: Options,
    /// Who, for the audit.
    pub by: String,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Whether to stop.
    pub stop: &'a CancellationToken,
    /// Where it says how far it is.
    pub progress: &'a dyn Progress,
}

/// How a run stands.
struct Run {
    /// When the rate allows the next call.
    next: Instant,
    todo: VecDeque<usize>,
    outcomes: BTreeMap<(String, String), u64>,
    open: BTreeMap<usize, String>,
    not_sent: Vec<(String, String)>,
    doubtful: Vec<(String, String)>,
    lingering: Vec<String>,
}

impl<L: LedgerReader, S: Letters, T: Sender> Apply<'_, L, S, T> {
    /// Sends what was not sent yet, and follows what was.
    ///
    /// # Errors
    /// [`ApplyError`]: what was sent until then is in the audit, and the run can be gone on with.
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
            // Its last line may be half a line.
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
