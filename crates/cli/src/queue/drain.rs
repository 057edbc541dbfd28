//! Receives the messages of a queue until the queue returns no new ones.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::message::{Message, MessageId};
use tokio::time::Instant;

use super::QueueReader;
use super::held::HeldMessages;

/// The number of consecutive empty receives that end a drain: the queue is empty, or all messages are in flight.
const MAX_EMPTY_RECEIVES: u32 = 3;

/// The number of consecutive receives without a new message that end a drain: each of them costs a repeated message a
/// receive.
const MAX_RECEIVES_WITHOUT_NEW: u32 = 3;

/// A drain of a queue. Nothing is deleted: received messages are held.
pub struct QueueDrain<'a, Q> {
    queue: &'a Q,
    held: HeldMessages,
    state: Mutex<DrainState>,
}

/// The messages of one receive.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub new: Vec<Message>,
    /// The messages that this drain has received before.
    pub repeated: Vec<Message>,
}

#[derive(Default)]
struct DrainState {
    seen: HashSet<MessageId>,
    /// The number of consecutive empty receives.
    empty: u32,
    /// The number of consecutive receives without a new message.
    without_new: u32,
}

/// The reason why a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    Empty,
    /// The queue returned only repeated messages, so there may be unseen ones.
    Repeating,
}

impl<'a, Q: QueueReader> QueueDrain<'a, Q> {
    pub fn new(queue: &'a Q) -> Self {
        Self { queue, held: HeldMessages::default(), state: Mutex::default() }
    }

    /// Returns the messages that are held.
    pub const fn held(&self) -> &HeldMessages {
        &self.held
    }

    fn state(&self) -> MutexGuard<'_, DrainState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reason to receive no more; `None` while there may be new messages.
    pub fn end(&self) -> Option<DrainEnd> {
        let state = self.state();
        if state.empty >= MAX_EMPTY_RECEIVES {
            Some(DrainEnd::Empty)
        } else if state.without_new >= MAX_RECEIVES_WITHOUT_NEW {
            Some(DrainEnd::Repeating)
        } else {
            None
        }
    }

    /// Receives once. Several receives may be open at a time.
    pub async fn receive(&self, visibility_timeout: Duration) -> Result<Received, AwsError> {
        let begun = Instant::now();
        let messages = self.queue.receive(visibility_timeout).await?;
        self.held.add(&messages, begun, visibility_timeout);
        let mut state = self.state();
        state.empty = if messages.is_empty() { state.empty + 1 } else { 0 };
        let is_new = |message: &Message| state.seen.insert(message.id.clone());
        let (new, repeated): (Vec<Message>, Vec<Message>) = messages.into_iter().partition(is_new);
        state.without_new = if new.is_empty() { state.without_new + 1 } else { 0 };
        Ok(Received { new, repeated })
    }
}
