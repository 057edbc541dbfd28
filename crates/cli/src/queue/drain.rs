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

/// The number of consecutive receives without a new message that end a drain, for a consumer that can wait for rare
/// messages.
pub const MAX_REPEATED_RECEIVES: u32 = 50;

/// A drain of a queue. Nothing is deleted: received messages are held.
pub struct QueueDrain<'a, Q> {
    queue: &'a Q,
    held: &'a HeldMessages,
    max_receives_without_new: u32,
    state: Mutex<DrainState>,
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
    pub fn new(queue: &'a Q, held: &'a HeldMessages, max_receives_without_new: u32) -> Self {
        Self { queue, held, max_receives_without_new, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, DrainState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reason to receive no more; `None` while there may be new messages.
    pub fn end(&self) -> Option<DrainEnd> {
        let state = self.state();
        if state.empty >= MAX_EMPTY_RECEIVES {
            Some(DrainEnd::Empty)
        } else if state.without_new >= self.max_receives_without_new {
            Some(DrainEnd::Repeating)
        } else {
            None
        }
    }

    /// Receives once, and returns the new messages. Several receives may be open at a time.
    pub async fn receive(&self, visibility_timeout: Duration) -> Result<Vec<Message>, AwsError> {
        let until = Instant::now() + visibility_timeout;
        let mut messages = self.queue.receive(visibility_timeout).await?;
        self.held.add(&messages, until);
        let mut state = self.state();
        state.empty = if messages.is_empty() { state.empty + 1 } else { 0 };
        messages.retain(|message| state.seen.insert(message.id.clone()));
        state.without_new = if messages.is_empty() { state.without_new + 1 } else { 0 };
        Ok(messages)
    }
}
