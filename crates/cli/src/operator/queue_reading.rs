//! Reads a queue with concurrent receives. Each message is handed over once, and all are held until they are released.
//!
//! A receive counts towards the redrive policy, and SQS moves a message away after too many. So a reading counts its
//! receives, and ends before it would park a message, unless it is forced. Memory holds the receipts, and at most
//! [`MAX_BATCHES_IN_MEMORY`] batches of whole messages besides those of the consumer.

mod receiver;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, maybe_done};
use genesys_replay::aws::AwsError;
use genesys_replay::message::{Message, MessageId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Progress;
use crate::queue::drain::{DrainEnd, QueueDrain};
use crate::queue::held::{HeldMessages, Released};
use crate::queue::receive_cost::{ReceiveCost, ReceiveRefusal};
use crate::queue::{DeleteError, QueueFacts, QueueReader};
use receiver::Receives;

/// The number of concurrent receive calls: 100,000 messages are 10,000 calls of some 20 ms.
const MAX_CONCURRENT_RECEIVES: usize = 8;

/// The maximum number of received batches that the consumer did not take yet.
pub const MAX_BATCHES_IN_MEMORY: usize = MAX_CONCURRENT_RECEIVES;

/// The maximum time that an interrupted reading waits for open calls, to make their messages visible again too.
const MAX_RELEASE_WAIT: Duration = Duration::from_secs(5);

/// The first visibility timeout of a message, which also applies if the program is killed soon after.
const MIN_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The maximum visibility timeout. SQS hides a message for at most 12 h from its receipt.
const MAX_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(11 * 3_600);

const EXTENSION_INTERVAL: Duration = Duration::from_secs(5);

/// The time before the end of a visibility timeout at which it is extended, because there may be 100,000 messages.
const EXTENSION_MARGIN: Duration = Duration::from_secs(60);

/// The messages of a pass.
#[derive(Clone, Copy)]
pub struct ReadScope<'s> {
    /// The maximum number of messages.
    pub limit: Option<u64>,
    /// Returns true for a message that leaves the queue in this run, so that its last receive does not matter.
    pub leaves: &'s (dyn Fn(&MessageId) -> bool + Sync),
}

impl ReadScope<'_> {
    /// Returns the scope of at most `limit` messages, which all stay in the queue.
    pub fn staying(limit: Option<u64>) -> Self {
        const fn stays(_: &MessageId) -> bool {
            false
        }
        Self { limit, leaves: &stays }
    }
}

/// The reason why a queue cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum QueueReadError {
    #[error(transparent)]
    Receives(#[from] ReceiveRefusal),
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// The error of a command that a person interrupted while it read a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; {released} messages were released")]
pub struct ReadInterrupted {
    /// The number of messages that are visible again.
    pub released: u64,
}

/// The reason why a queue was not read completely. As many messages as possible are visible again.
#[derive(Debug, thiserror::Error)]
pub enum WholeReadError {
    #[error(transparent)]
    Read(#[from] QueueReadError),
    #[error(transparent)]
    Interrupted(#[from] ReadInterrupted),
}

/// The reading of one queue, with the messages that are held.
pub struct QueueReading<'a, Q> {
    queue: &'a Q,
    name: String,
    /// The approximate number of visible messages at the begin.
    visible: u64,
    progress: &'a dyn Progress,
    drain: QueueDrain<'a, Q>,
    begun: Instant,
    receives: Mutex<Receives>,
}

impl<'a, Q: QueueReader> QueueReading<'a, Q> {
    /// Begins a reading of a queue with this setup. Receives nothing.
    ///
    /// # Errors
    /// [`ReceiveRefusal`] if the redrive policy allows too few receives, without force.
    pub fn new(
        queue: &'a Q,
        facts: &QueueFacts,
        force: bool,
        progress: &'a dyn Progress,
    ) -> Result<Self, ReceiveRefusal> {
        let cost = ReceiveCost::new(facts.redrive.clone(), force);
        cost.check()?;
        Ok(Self {
            queue,
            name: facts.name().to_owned(),
            visible: facts.visible,
            progress,
            drain: QueueDrain::new(queue),
            begun: Instant::now(),
            receives: Mutex::new(Receives::new(cost)),
        })
    }

    /// Begins a reading of a queue, whose setup is read before.
    ///
    /// # Errors
    /// [`QueueReadError`]
    pub async fn open(
        queue: &'a Q,
        force: bool,
        progress: &'a dyn Progress,
    ) -> Result<Self, QueueReadError> {
        Ok(Self::new(queue, &queue.facts().await?, force, progress)?)
    }

    fn receives(&self) -> MutexGuard<'_, Receives> {
        self.receives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the messages that are held.
    pub fn held(&self) -> &HeldMessages {
        self.drain.held()
    }

    /// Returns the receives that the reading has cost so far.
    pub fn cost(&self) -> ReceiveCost {
        self.receives().cost.clone()
    }

    /// Returns the reason why the queue has no more new messages; `None` while it may have some.
    pub fn end(&self) -> Option<DrainEnd> {
        self.drain.end()
    }

    /// Begins the progress of this work.
    pub fn begin(&self, verb: &str) {
        self.progress.begin(&format!("{verb} {}", self.name), Some(self.visible));
    }

    /// Returns the visibility timeout of messages that are received or extended now: the time since the begin, within
    /// limits. Each message then needs few extensions. If the program is killed, messages stay invisible no longer than
    /// the program ran.
    fn visibility_timeout(&self) -> Duration {
        let seconds = Duration::from_secs(self.begun.elapsed().as_secs());
        seconds.clamp(MIN_VISIBILITY_TIMEOUT, MAX_VISIBILITY_TIMEOUT)
    }

    /// Receives messages, and hands each new one over to `consume` once, until there is a reason to end or `consume`
    /// drops its receiver. The messages stay held. Returns `None` if `stop` became ready before.
    ///
    /// # Errors
    /// [`QueueReadError`]; the messages that were received before stay held.
    pub async fn read<T>(
        &self,
        scope: ReadScope<'_>,
        stop: impl Future<Output = ()>,
        consume: impl AsyncFnOnce(mpsc::Receiver<Vec<Message>>) -> T,
    ) -> Result<Option<T>, QueueReadError> {
        self.receives().begin_pass();
        let (sender, messages) = mpsc::channel(MAX_BATCHES_IN_MEMORY);
        // Not part of `whole`, so that open calls are awaited even if `whole` is dropped.
        let mut receivers = pin!(maybe_done(join_all(
            (0..MAX_CONCURRENT_RECEIVES).map(|_| self.receive(scope, sender.clone()))
        )));
        // The channel must close with the last receiver.
        drop(sender);
        let finished = {
            let whole = async { tokio::join!(&mut receivers, consume(messages)).1 };
            tokio::select! {
                // A reading that is over does not count as interrupted.
                biased;
                finished = whole => Some(finished),
                () = stop => None,
            }
        };
        if finished.is_none() {
            self.receives().stop();
            // Without an answer to these calls, their messages cannot be released and stay invisible for a while.
            if tokio::time::timeout(MAX_RELEASE_WAIT, receivers).await.is_err() {
                let seconds = self.visibility_timeout().as_secs();
                self.progress.warn(&format!(
                    "the queue does not answer: messages in flight become visible within {seconds} s"
                ));
            }
            return Ok(None);
        }
        let error = self.receives().take_error();
        error.map_or(Ok(()), Err)?;
        if self.end() == Some(DrainEnd::Repeating) {
            self.progress.warn(
                "the queue returns the same messages repeatedly, so others may not have been received",
            );
        }
        Ok(finished)
    }

    /// Reads the queue as [`read`](Self::read) does, extends the visibility timeouts meanwhile, and makes all messages
    /// visible again, also after an error or an interruption.
    ///
    /// # Errors
    /// [`WholeReadError`]
    pub async fn read_and_release<T>(
        &self,
        scope: ReadScope<'_>,
        stop: impl Future<Output = ()>,
        consume: impl AsyncFnOnce(mpsc::Receiver<Vec<Message>>) -> T,
    ) -> Result<T, WholeReadError> {
        let read = Box::pin(self.keep(self.read(scope, stop, consume))).await;
        self.progress.end();
        let released = self.release().await;
        read?.ok_or(WholeReadError::Interrupted(ReadInterrupted { released: released.visible }))
    }

    /// Works while the held messages stay invisible.
    pub async fn keep<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.extend() => match never {},
        }
    }

    /// Extends the visibility timeouts without end.
    async fn extend(&self) -> Infallible {
        let mut warned = false;
        loop {
            tokio::time::sleep(EXTENSION_INTERVAL).await;
            let timeout = self.visibility_timeout();
            let failures = self.held().extend(self.queue, EXTENSION_MARGIN, timeout).await;
            if failures > 0 && !std::mem::replace(&mut warned, true) {
                self.progress.warn(&format!(
                    "messages whose visibility timeout was not extended: {failures}; others may receive them before the end"
                ));
            }
        }
    }

    /// Makes all held messages visible again, with progress.
    pub async fn release(&self) -> Released {
        let count = self.held().count();
        if count > 0 {
            self.progress.begin("making the messages visible again", Some(count));
        }
        let released = self.held().release(self.queue, |steps| self.progress.advance(steps)).await;
        self.progress.end();
        self.warn_of_hidden(released);
        released
    }

    /// Makes the held messages visible again that are not kept.
    pub async fn release_except(&self, is_kept: impl Fn(&MessageId) -> bool) -> Released {
        let released = self.held().release_except(self.queue, is_kept, |_| {}).await;
        self.warn_of_hidden(released);
        released
    }

    fn warn_of_hidden(&self, released: Released) {
        if released.hidden > 0 {
            self.progress.warn(&format!(
                "messages that could not be made visible: {}; they become visible within {} s",
                released.hidden,
                self.visibility_timeout().as_secs()
            ));
        }
    }

    /// Deletes a held message. Returns `None` if it is not held.
    pub async fn delete(&self, id: &MessageId) -> Option<Result<(), DeleteError>> {
        let message = self.held().take(id)?;
        let failed = self.queue.delete(&[message]).await;
        Some(failed.into_iter().next().map_or(Ok(()), Err))
    }
}
