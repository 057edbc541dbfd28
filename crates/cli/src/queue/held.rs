//! Received messages that stay invisible to other consumers until they are released.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::message::{Message, MessageId};
use tokio::time::Instant;

use super::QueueReader;

/// The number of messages in one call of the port: SQS gets them in 16 concurrent calls.
const MESSAGES_PER_CALL: usize = 160;

/// The duration of a fully failed call after which the queue counts as unavailable, because further calls would take
/// hours.
const NO_ANSWER: Duration = Duration::from_secs(10);

/// The held messages of one queue, without their bodies. SQS allows 120,000 messages in flight: some 80 MB of receipts.
#[derive(Default)]
pub struct HeldMessages(Mutex<HashMap<MessageId, Held>>);

#[derive(Clone)]
struct Held {
    message: Message,
    /// The end of the visibility timeout.
    until: Instant,
}

/// The result of releasing messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    pub visible: u64,
    /// The number of messages that stay invisible until their visibility timeout ends.
    pub hidden: u64,
}

impl HeldMessages {
    fn by_id(&self) -> MutexGuard<'_, HashMap<MessageId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> u64 {
        self.by_id().len() as u64
    }

    /// Adds messages that are invisible until `until`. A later receipt replaces an earlier one.
    pub fn add(&self, messages: &[Message], until: Instant) {
        self.by_id().extend(messages.iter().map(|received| {
            let mut message = Message::new(received.id.clone(), String::new());
            message.receipt_handle.clone_from(&received.receipt_handle);
            (received.id.clone(), Held { message, until })
        }));
    }

    /// Takes a message, which is then neither extended nor released.
    pub fn take(&self, id: &MessageId) -> Option<Message> {
        Some(self.by_id().remove(id)?.message)
    }

    /// Sets the visibility timeout of the messages whose current one ends within `margin` to `timeout` from now.
    /// Returns the number of failures.
    pub async fn extend(
        &self,
        queue: &impl QueueReader,
        margin: Duration,
        timeout: Duration,
    ) -> u64 {
        let end = Instant::now() + margin;
        let is_due = |held: &&Held| held.until <= end;
        let mut due: Vec<Held> = self.by_id().values().filter(is_due).cloned().collect();
        due.sort_by_key(|held| held.until);
        let mut failures = 0;
        for chunk in due.chunks(MESSAGES_PER_CALL) {
            let until = Instant::now() + timeout;
            let messages: Vec<Message> = chunk.iter().map(|held| held.message.clone()).collect();
            failures += queue.change_visibility(&messages, timeout).await.len() as u64;
            let mut by_id = self.by_id();
            for message in &messages {
                // A message that was received again has another receipt, with its own end.
                if let Some(held) = by_id
                    .get_mut(&message.id)
                    .filter(|it| it.message.receipt_handle == message.receipt_handle)
                {
                    held.until = until;
                }
            }
        }
        failures
    }

    /// Makes all messages visible again now, with one retry of failed messages. Calls `advance` with the number of
    /// handled messages.
    pub async fn release(&self, queue: &impl QueueReader, advance: impl Fn(u64)) -> Released {
        let held = std::mem::take(&mut *self.by_id()).into_values();
        let messages: Vec<Message> = held.map(|held| held.message).collect();
        let mut released = Released { visible: 0, hidden: messages.len() as u64 };
        for chunk in messages.chunks(MESSAGES_PER_CALL) {
            let begun = Instant::now();
            let failures = queue.change_visibility(chunk, Duration::ZERO).await.into_iter();
            let failed: HashSet<MessageId> = failures.map(|failure| failure.message_id).collect();
            let mut again = chunk.to_vec();
            again.retain(|message| failed.contains(&message.id));
            let hidden = queue.change_visibility(&again, Duration::ZERO).await.len();
            let visible = (chunk.len() - hidden) as u64;
            released.visible += visible;
            released.hidden -= visible;
            advance(chunk.len() as u64);
            if visible == 0 && begun.elapsed() > NO_ANSWER {
                break;
            }
        }
        released
    }
}
