//! Looking at a queue of dead letters without taking from it.
//!
//! Every message is received once, held until the end, and then shown to others again: also after an error or an
//! interruption. Memory stays the same however many messages there are and however large they are: at most
//! [`MAX_MESSAGES_IN_MEMORY`] messages are in it at a time, and of those that were looked at some 40 bytes each, a bounded number of
//! groups, and what a [`Sink`] keeps; receipts are kept by [`Receipts`], outside of memory.
//!
//! Looking is not free: each message has been received once more, and a queue with a redrive policy moves a
//! message away that was received too often. What that would cost is found out on the way, and refused unless forced.

mod advice;
mod correlate;
mod finding;
mod groups;
mod held;
mod looking;
mod receiving;
pub mod report;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join_all, maybe_done};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::ReplayTarget;
use genesys_replay::queue::MAX_BATCH_ENTRIES;
use tokio::sync::mpsc;

use super::Progress;
use crate::genesys::analytics::{Conversations, MAX_CONVERSATIONS_PER_QUERY};
use crate::ledger::LedgerReader;
use crate::queue::{QueueFacts, QueueReader};
pub use correlate::Correlation;
pub use finding::{Finding, Function, NextStep};
pub use groups::{Example, Group, GroupKey, Groups, MAX_GROUPS};
use held::Held;
pub use held::{Receipt, Receipts, Released, VISIBILITY_TIMEOUT};
use looking::Looking;
use receiving::Receiving;

/// Calls that receive at once: 100,000 messages are 10,000 calls of some 20 ms.
const RECEIVERS: usize = 8;

/// The most messages that are in memory at a time: those of every call, and a batch that is looked at.
pub const MAX_MESSAGES_IN_MEMORY: usize =
    RECEIVERS * MAX_BATCH_ENTRIES + MAX_CONVERSATIONS_PER_QUERY;

/// A policy that lets a message be received this often or less is not looked at without force: one look takes a
/// third of what it has, or more.
pub const MIN_RECEIVES_WITHOUT_FORCE: u32 = 3;

/// How long an interrupted look waits for messages that are on their way, to show them to others again too.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// What a look goes by.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Where the function delivers events.
    pub target: &'a ReplayTarget,
    /// What else decides what the function does.
    pub function: Function,
    /// The most messages that are looked at.
    pub limit: Option<u64>,
    /// Whether messages may come to their last receive.
    pub force: bool,
}

/// Where findings go, one after another.
pub trait Sink: Send {
    /// Takes what was found out about one message.
    ///
    /// # Errors
    /// It cannot be kept; the look ends then.
    fn put(&mut self, finding: &Finding<'_>) -> io::Result<()>;
}

/// The use case with its ports.
pub struct Diagnose<'a, O, L, C> {
    /// The queue.
    pub reader: &'a O,
    /// The ledger.
    pub ledger: &'a L,
    /// Analytics, if interactions are to be looked up.
    pub conversations: Option<&'a C>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Where it says how far it is.
    pub progress: &'a dyn Progress,
}

/// How a look ended that found what it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing more came.
    Drained,
    /// As many were looked at as were asked for.
    Limit,
    /// Somebody stopped it.
    Interrupted,
}

/// What was found out.
#[derive(Debug)]
pub struct Diagnosis {
    /// The queue as it was before.
    pub queue: QueueFacts,
    /// When the look began.
    pub generated_at: Timestamp,
    /// How it ended.
    pub end: End,
    /// How many messages were looked at.
    pub total: u64,
    /// What they have in common.
    pub groups: Groups,
    /// How many of those that were received have come to their last receive: the next one moves them away.
    pub at_last_receive: u64,
    /// How many were looked at without knowing what the ledger says.
    pub without_ledger: u64,
    /// What became of the interactions, if they were looked up.
    pub correlation: Option<Correlation>,
    /// What was shown to others again.
    pub released: Released,
}

/// Why a look found nothing out. Everything that was received is shown to others again.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// The redrive policy is so tight that one look costs too much.
    #[error(
        "a message of this queue may be received {max_receives} times before it moves to the parking queue {parking}, and looking at it is one of them"
    )]
    Tight {
        /// How often a message may be received.
        max_receives: u32,
        /// The parking queue's name.
        parking: String,
    },
    /// Messages have come to their last receive.
    #[error(
        "the next receive would move {messages} of the {received} messages received so far to the parking queue {parking}: their {max_receives} receives are used up"
    )]
    LastReceive {
        /// How many.
        messages: u64,
        /// Of how many.
        received: u64,
        /// How often a message may be received.
        max_receives: u32,
        /// The parking queue's name.
        parking: String,
    },
    /// The queue cannot be read.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Receipts or findings cannot be kept.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl<O: QueueReader, L: LedgerReader, C: Conversations> Diagnose<'_, O, L, C> {
    /// Looks at every message once, until nothing more comes, the limit is reached, or `stop` is ready.
    ///
    /// # Errors
    /// [`DiagnoseError`]; as much as could be has been shown to others again, and warnings name what could not.
    pub async fn run<R: Receipts, S: Sink>(
        &self,
        look: Look<'_>,
        receipts: R,
        sink: &mut S,
        stop: impl Future<Output = ()>,
    ) -> Result<Diagnosis, DiagnoseError> {
        let queue = self.reader.facts().await?;
        self.permit(look, &queue)?;
        let generated_at = self.clock.now();
        self.progress
            .begin(&format!("looking at {}", queue.name()), Some(queue.visible));
        let held = Held::new(receipts);
        let receiving = Receiving::new(self.reader, &held, queue.redrive.as_ref(), look);
        let mut looking = Looking::new(self, look);
        let end = {
            let (sender, mut receiver) = mpsc::channel(RECEIVERS);
            // What is on its way is waited for also when the look itself is dropped.
            let mut receivers = pin!(maybe_done(join_all(
                (0..RECEIVERS).map(|_| receiving.receive(sender.clone()))
            )));
            // The channel ends with the last of the receivers.
            drop(sender);
            let looks = async {
                let looked = looking.look(&mut receiver, sink).await;
                // What comes now is not looked at: receivers end when nobody takes from them.
                receiver.close();
                looked
            };
            let whole = async { tokio::join!(&mut receivers, looks).1 };
            let ended = tokio::select! {
                // A look that is over is not interrupted.
                biased;
                looked = whole => Some(looked),
                never = held.hold_on(self.reader, self.progress) => match never {},
                () = stop => None,
            };
            if ended.is_none() {
                receiving.stop();
                receiver.close();
                // Of what is on its way nothing is known if it does not come: it stays hidden for a while.
                if tokio::time::timeout(RELEASE_TIME, receivers).await.is_err() {
                    let seconds = held.hold().as_secs();
                    self.progress.warn(&format!(
                        "the queue does not answer: messages that were on their way come back by themselves within {seconds} s"
                    ));
                }
            }
            ended
        };
        self.progress.end();
        let released = held.release(self.reader, self.progress).await;
        if released.hidden > 0 {
            self.progress.warn(&format!(
                "messages that could not be shown again: {}; they come back by themselves within {} s",
                released.hidden,
                released.hidden_for.as_secs()
            ));
        }
        let received = receiving.end();
        if let Some(looked) = end {
            // What stopped the receivers comes first: the rest follows from it.
            received.error.map_or(Ok(()), Err)?;
            looked?;
        }
        Ok(Diagnosis {
            generated_at,
            end: if received.interrupted {
                End::Interrupted
            } else if look.limit.is_some_and(|limit| looking.total >= limit) {
                End::Limit
            } else {
                End::Drained
            },
            total: looking.total,
            groups: looking.groups,
            at_last_receive: received.at_last_receive,
            without_ledger: looking.without_ledger,
            correlation: looking.correlating.map(|it| it.counts),
            released,
            queue,
        })
    }

    /// Whether a look at the queue costs little enough, and what a person should know before it begins.
    fn permit(&self, look: Look<'_>, queue: &QueueFacts) -> Result<(), DiagnoseError> {
        if let Some(redrive) = &queue.redrive {
            if redrive.max_receives <= MIN_RECEIVES_WITHOUT_FORCE && !look.force {
                return Err(DiagnoseError::Tight {
                    max_receives: redrive.max_receives,
                    parking: redrive.parking_name().to_owned(),
                });
            }
            self.progress.warn(&format!(
                "looking counts: each message has been received once more afterwards, of {} times before it moves to {}",
                redrive.max_receives,
                redrive.parking_name()
            ));
        }
        if queue.fifo {
            self.progress.warn(
                "the queue is FIFO: while a message is held the rest of its group waits and cannot be seen, so only the first messages of each group are looked at",
            );
        }
        let elsewhere = queue.in_flight + queue.delayed;
        if elsewhere > 0 {
            self.progress.warn(&format!(
                "messages that are with the function or delayed, and cannot be seen now: about {elsewhere}"
            ));
        }
        Ok(())
    }
}
