//! Examines a queue of dead letters without removing messages.
//!
//! Every message is received once, held until the end, and then made visible again, also after an error or an
//! interruption. Memory holds the receipts, at most [`MAX_MESSAGES_IN_MEMORY`] whole messages, a bounded number of
//! groups, and the data of the [`Sink`].
//!
//! A diagnosis costs one receive of each message, and a redrive policy moves a message away after too many receives.
//! The diagnosis detects this while it runs, and stops unless it is forced.

mod analyzer;
mod correlate;
mod finding;
mod groups;
mod receiver;
pub mod report;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{join_all, maybe_done};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::ReplayTarget;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use genesys_replay::replay::decision::Rules;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Progress;
use super::plan::Selection;
use crate::genesys::analytics::{Conversations, MAX_CONVERSATIONS_PER_QUERY};
use crate::ledger::LedgerReader;
use crate::queue::drain::QueueDrain;
use crate::queue::held::{HeldMessages, Released};
use crate::queue::receive_cost::{ReceiveCost, ReceiveRefusal};
use crate::queue::{QueueFacts, QueueReader};
use analyzer::Analyzer;
pub use correlate::Correlation;
pub use finding::MessageFinding;
pub(crate) use finding::happened;
pub(super) use groups::advice_on_category;
pub(crate) use groups::rfc_3339;
pub use groups::{Example, Group, GroupKey, Groups, MAX_GROUPS};
use receiver::{MessageReceiver, Received};

/// The number of concurrent receive calls: 100,000 messages are 10,000 calls of some 20 ms.
const MAX_CONCURRENT_RECEIVES: usize = 8;

/// The maximum number of messages in memory: those of every call, and one batch that is examined.
pub const MAX_MESSAGES_IN_MEMORY: usize =
    MAX_CONCURRENT_RECEIVES * MAX_BATCH_ENTRIES + MAX_CONVERSATIONS_PER_QUERY;

/// The number of consecutive receives without a new message that end a diagnosis.
const MAX_RECEIVES_WITHOUT_NEW: u32 = 3;

/// The maximum time that an interrupted diagnosis waits for open calls, to make their messages visible again too.
const MAX_RELEASE_WAIT: Duration = Duration::from_secs(5);

/// The first visibility timeout of a message, which also applies if the program is killed soon after.
const MIN_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The maximum visibility timeout. SQS hides a message for at most 12 h from its receipt.
const MAX_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(11 * 3_600);

const EXTENSION_INTERVAL: Duration = Duration::from_secs(5);

/// The time before the end of a visibility timeout at which it is extended, because there may be 100,000 messages.
const EXTENSION_MARGIN: Duration = Duration::from_secs(60);

/// The time since the start of a diagnosis.
#[derive(Clone, Copy)]
struct RunTime(Instant);

impl RunTime {
    /// Returns the visibility timeout of messages that are received or extended now: the run time so far, within
    /// limits. Each message then needs few extensions. If the program is killed, messages stay invisible no longer than
    /// the program ran.
    fn visibility_timeout(self) -> Duration {
        let seconds = Duration::from_secs(self.0.elapsed().as_secs());
        seconds.clamp(MIN_VISIBILITY_TIMEOUT, MAX_VISIBILITY_TIMEOUT)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct DiagnoseOptions<'a> {
    pub target: &'a ReplayTarget,
    pub rules: Rules,
    /// The selection of messages that are shown. The others are received, and only counted.
    pub selection: &'a Selection,
    /// The time of the decisions.
    pub now: Timestamp,
    pub limit: Option<u64>,
    /// True if messages may reach their last receive.
    pub force: bool,
}

/// The consumer of findings, which receives one after another.
pub trait Sink: Send {
    /// Accepts the finding about one message.
    ///
    /// # Errors
    /// [`io::Error`] if the finding cannot be kept; the diagnosis ends then.
    fn put(&mut self, finding: &MessageFinding<'_>) -> io::Result<()>;
}

pub struct Diagnose<'a, O, L, C> {
    pub reader: &'a O,
    pub ledger: &'a L,
    pub conversations: Option<&'a C>,
    pub clock: &'a dyn Clock,
    pub progress: &'a dyn Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosisEnd {
    Drained,
    Limit,
    Interrupted,
}

#[derive(Debug)]
pub struct Diagnosis {
    pub queue: QueueFacts,
    pub generated_at: Timestamp,
    pub end: DiagnosisEnd,
    /// The number of selected messages.
    pub total: u64,
    /// The number of received messages that are not selected.
    pub not_selected: u64,
    pub groups: Groups,
    /// The receives that the diagnosis has cost.
    pub cost: ReceiveCost,
    /// The number of messages that were examined without the ledger.
    pub without_ledger: u64,
    pub correlation: Option<Correlation>,
    pub released: Released,
}

/// The reason why a diagnosis failed. All received messages are made visible again.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    #[error(transparent)]
    Receives(#[from] ReceiveRefusal),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("the findings cannot be written")]
    Io(#[source] io::Error),
}

impl<O: QueueReader, L: LedgerReader, C: Conversations> Diagnose<'_, O, L, C> {
    /// Examines every message once, until the queue returns no more, the limit is reached, or `stop` is ready.
    ///
    /// # Errors
    /// [`DiagnoseError`]. As many messages as possible were made visible again, and warnings report the others.
    pub async fn run<S: Sink>(
        &self,
        options: DiagnoseOptions<'_>,
        sink: &mut S,
        stop: impl Future<Output = ()>,
    ) -> Result<Diagnosis, DiagnoseError> {
        let queue = self.reader.facts().await?;
        let cost = ReceiveCost::new(queue.redrive.clone(), options.force);
        cost.check()?;
        self.warn_of_limits(&queue);
        let generated_at = self.clock.now();
        self.progress.begin(&format!("examining {}", queue.name()), Some(queue.visible));
        let (held, run_time) = (HeldMessages::default(), RunTime(Instant::now()));
        let receiver = MessageReceiver {
            drain: QueueDrain::new(self.reader, &held, MAX_RECEIVES_WITHOUT_NEW),
            options,
            run_time,
            state: Mutex::new(Received::new(cost)),
        };
        let mut analyzer = Analyzer::new(self, options);
        let finished = {
            let (sender, mut messages) = mpsc::channel(MAX_CONCURRENT_RECEIVES);
            // Not part of `whole`, so that open calls are awaited even if `whole` is dropped.
            let mut receivers = pin!(maybe_done(join_all(
                (0..MAX_CONCURRENT_RECEIVES).map(|_| receiver.receive(sender.clone()))
            )));
            // The channel must close with the last receiver.
            drop(sender);
            let analysis = async {
                let finished = analyzer.analyze(&mut messages, sink).await;
                // Messages that arrive now are not examined, and the closed channel ends the receivers.
                messages.close();
                finished
            };
            let whole = async { tokio::join!(&mut receivers, analysis).1 };
            let finished = tokio::select! {
                // A diagnosis that is over does not count as interrupted.
                biased;
                finished = whole => Some(finished),
                never = self.extend(&held, run_time) => match never {},
                () = stop => None,
            };
            if finished.is_none() {
                receiver.stop();
                messages.close();
                // Without an answer to these calls, their messages cannot be released and stay invisible for a while.
                if tokio::time::timeout(MAX_RELEASE_WAIT, receivers).await.is_err() {
                    let seconds = run_time.visibility_timeout().as_secs();
                    self.progress.warn(&format!(
                        "the queue does not answer: messages in flight become visible within {seconds} s"
                    ));
                }
            }
            finished
        };
        self.progress.end();
        let released = self.release(&held, run_time).await;
        let totals = receiver.end();
        let end = match finished {
            None => DiagnosisEnd::Interrupted,
            Some(finished) => {
                // Report the receivers' error first, because the other errors follow from it.
                totals.error.map_or(Ok(()), Err)?;
                finished?;
                if options
                    .limit
                    .is_some_and(|limit| analyzer.total + analyzer.not_selected >= limit)
                {
                    DiagnosisEnd::Limit
                } else {
                    DiagnosisEnd::Drained
                }
            }
        };
        Ok(Diagnosis {
            generated_at,
            end,
            total: analyzer.total,
            not_selected: analyzer.not_selected,
            groups: analyzer.groups,
            cost: totals.cost,
            without_ledger: analyzer.without_ledger,
            correlation: analyzer.correlator.map(|it| it.counts),
            released,
            queue,
        })
    }

    /// Extends the visibility timeouts without end. The caller drops the future when the diagnosis is over.
    async fn extend(&self, held: &HeldMessages, run_time: RunTime) -> Infallible {
        let mut warned = false;
        loop {
            tokio::time::sleep(EXTENSION_INTERVAL).await;
            let timeout = run_time.visibility_timeout();
            let failures = held.extend(self.reader, EXTENSION_MARGIN, timeout).await;
            if failures > 0 && !std::mem::replace(&mut warned, true) {
                self.progress.warn(&format!(
                    "messages whose visibility timeout was not extended: {failures}; others may receive them before the end"
                ));
            }
        }
    }

    async fn release(&self, held: &HeldMessages, run_time: RunTime) -> Released {
        let count = held.count();
        if count > 0 {
            self.progress.begin("making the messages visible again", Some(count));
        }
        let released = held.release(self.reader, |steps| self.progress.advance(steps)).await;
        self.progress.end();
        if released.hidden > 0 {
            self.progress.warn(&format!(
                "messages that could not be made visible: {}; they become visible within {} s",
                released.hidden,
                run_time.visibility_timeout().as_secs()
            ));
        }
        released
    }

    /// Warns of the limits of a diagnosis before it begins.
    fn warn_of_limits(&self, queue: &QueueFacts) {
        if let Some(redrive) = &queue.redrive {
            self.progress.warn(&format!(
                "this diagnosis costs one receive of each message, of {} before it moves to {}",
                redrive.max_receives,
                redrive.parking_name()
            ));
        }
        if queue.fifo {
            self.progress.warn(
                "the queue is FIFO: while a message is held, SQS hides the rest of its group, so only the first messages of each group are examined",
            );
        }
        let elsewhere = queue.in_flight + queue.delayed;
        if elsewhere > 0 {
            self.progress.warn(&format!(
                "messages that are in flight or delayed, and cannot be received now: about {elsewhere}"
            ));
        }
    }
}
