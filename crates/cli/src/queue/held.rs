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

/// The maximum time for which SQS hides a message, from its receipt. A message near this end is not extended any more.
const MAX_HELD: Duration = Duration::from_secs(12 * 3_600 - 60);

/// The held messages of one queue, without their bodies. SQS allows 120,000 messages in flight: some 80 MB of receipts.
#[derive(Default)]
pub struct HeldMessages(Mutex<HashMap<MessageId, Held>>);

#[derive(Clone)]
struct Held {
    message: Message,
    received: Instant,
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

    /// Adds messages of a receive that began at `received`, with this visibility timeout. A later receipt replaces an
    /// earlier one.
    pub fn add(&self, messages: &[Message], received: Instant, visibility_timeout: Duration) {
        let until = received + visibility_timeout;
        self.by_id().extend(messages.iter().map(|it| {
            let mut message = Message::new(it.id.clone(), String::new());
            message.receipt_handle.clone_from(&it.receipt_handle);
            (it.id.clone(), Held { message, received, until })
        }));
    }

    /// Takes a message, which is then neither extended nor released.
    pub fn take(&self, id: &MessageId) -> Option<Message> {
        Some(self.by_id().remove(id)?.message)
    }

    /// Sets the visibility timeout of the messages whose current one ends within `margin` to `timeout` from now, or less
    /// near the end of the time for which SQS hides a message. Returns the number of failures.
    pub async fn extend(
        &self,
        queue: &impl QueueReader,
        margin: Duration,
        timeout: Duration,
    ) -> u64 {
        let now = Instant::now();
        let end = now + margin;
        let is_due =
            |held: &&Held| held.until <= end && held.received + MAX_HELD > held.until.max(now);
        let mut due: Vec<Held> = self.by_id().values().filter(is_due).cloned().collect();
        due.sort_by_key(|held| held.until);
        let mut failures = 0;
        for chunk in due.chunks(MESSAGES_PER_CALL) {
            let now = Instant::now();
            let last = chunk.iter().map(|held| held.received + MAX_HELD).min();
            let seconds = last.map_or(timeout, |last| timeout.min(last - now)).as_secs().max(1);
            let (until, timeout) =
                (now + Duration::from_secs(seconds), Duration::from_secs(seconds));
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
        self.release_except(queue, |_| false, advance).await
    }

    /// Makes the messages visible again that are not kept, as [`release`](Self::release) does.
    pub async fn release_except(
        &self,
        queue: &impl QueueReader,
        is_kept: impl Fn(&MessageId) -> bool,
        advance: impl Fn(u64),
    ) -> Released {
        let held = std::mem::take(&mut *self.by_id());
        let (kept, held): (HashMap<_, _>, HashMap<_, _>) =
            held.into_iter().partition(|(id, _)| is_kept(id));
        self.by_id().extend(kept);
        let messages: Vec<Message> = held.into_values().map(|held| held.message).collect();
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
