//! The dead letters of a plan that are in the parking queue. They leave it once they are sent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::message::Message;
use tokio::time::Instant;

use super::letters::{Fetched, Letters, Lost, ready};
use crate::operator::plan::{Item, Place};
use crate::queue::{DeleteError, QueueReader};

/// The visibility timeout of received messages. It is longer than sending takes, and still short if the program is
/// killed.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The maximum age of a receipt. Older messages are received again, because other consumers may have them by now.
const RECEIPT_TTL: Duration = Duration::from_secs(90);

/// The number of consecutive empty answers that end the receiving: the queue is empty, or all messages are in flight.
const MAX_EMPTY_RECEIVES: u32 = 3;

/// The number of consecutive answers with only repeated messages that end the receiving.
const MAX_REPEATED_RECEIVES: u32 = 50;

/// The dead letters in the parking queue, in the order of the queue's answers.
pub struct ParkingLetters<O> {
    queue: O,
    /// Wanted messages that were received and not fetched yet: those of one call at most.
    waiting: VecDeque<(usize, Message)>,
    /// The time at which they were received.
    received: Instant,
    /// Fetched messages by item key, without their bodies: needed to delete them from the queue.
    out: HashMap<String, Message>,
    /// Messages that were not wanted or not sent, by message id, without their bodies: needed to release them.
    others: HashMap<String, Message>,
}

impl<O: QueueReader> ParkingLetters<O> {
    /// Returns the dead letters in this queue.
    #[must_use]
    pub fn new(queue: O) -> Self {
        Self {
            queue,
            waiting: VecDeque::new(),
            received: Instant::now(),
            out: HashMap::new(),
            others: HashMap::new(),
        }
    }

    /// Receives until a wanted message arrives, or the receiving ends without one.
    async fn receive(&mut self, wanted: &HashMap<&str, usize>) -> Result<(), AwsError> {
        let mut seen = HashSet::new();
        let (mut empty, mut known) = (0, 0);
        while self.waiting.is_empty() && empty < MAX_EMPTY_RECEIVES && known < MAX_REPEATED_RECEIVES
        {
            self.received = Instant::now();
            let messages = self.queue.receive(VISIBILITY_TIMEOUT).await?;
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            known += 1;
            for message in messages {
                if seen.insert(message.id.clone()) {
                    known = 0;
                }
                match wanted.get(message.id.as_str()) {
                    Some(index) => self.waiting.push_back((*index, message)),
                    None => self.keep_for_later(message),
                }
            }
        }
        Ok(())
    }

    fn keep_for_later(&mut self, message: Message) {
        let message = without_body(message);
        self.others.insert(message.id.to_string(), message);
    }
}

impl<O: QueueReader> Letters for ParkingLetters<O> {
    async fn fetch(
        &mut self,
        items: &[Item],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, AwsError> {
        if self.received.elapsed() > RECEIPT_TTL && !self.waiting.is_empty() {
            let stale = self.waiting.drain(..);
            let stale: Vec<Message> = stale.map(|(_, message)| message).collect();
            // Make them visible again now, so that they can be received anew. If this fails, their visibility timeout
            // ends soon.
            let _ = self.queue.release(&stale).await;
        }
        if self.waiting.is_empty() {
            let wanted: HashMap<&str, usize> = todo
                .iter()
                .filter_map(|index| Some((message_id(items.get(*index)?)?, *index)))
                .collect();
            self.receive(&wanted).await?;
        }
        if self.waiting.is_empty() {
            // The queue did not return these messages: they are deleted, or in flight elsewhere.
            let gone = todo.drain(..most.min(todo.len()));
            return Ok(gone.map(|index| (index, Err(Lost::Gone))).collect());
        }
        let count = most.min(self.waiting.len());
        let received: Vec<(usize, Message)> = self.waiting.drain(..count).collect();
        let mut fetched = Vec::new();
        for (index, message) in received {
            let Some(item) = items.get(index) else {
                continue;
            };
            todo.retain(|waiting| *waiting != index);
            let receipt = without_body(message.clone());
            match ready(item, message) {
                Ok(message) => {
                    self.out.insert(item.key.clone(), receipt);
                    fetched.push((index, Ok(message)));
                }
                Err(lost) => {
                    self.keep_for_later(receipt);
                    fetched.push((index, Err(lost)));
                }
            }
        }
        Ok(fetched)
    }

    async fn sent(&mut self, item: &Item) -> Option<Result<(), DeleteError>> {
        let message = self.out.remove(&item.key)?;
        let failed = self.queue.delete(std::slice::from_ref(&message)).await;
        Some(failed.into_iter().next().map_or(Ok(()), Err))
    }

    fn moves(&self) -> bool {
        true
    }

    async fn close(&mut self) {
        let waiting = self.waiting.drain(..).map(|(_, message)| message);
        let held = waiting.chain(self.out.drain().map(|(_, message)| message));
        let held = held.chain(self.others.drain().map(|(_, message)| message));
        let held: Vec<Message> = held.collect();
        // Ignore failures, because these messages become visible again after their visibility timeout.
        let _ = self.queue.release(&held).await;
    }
}

fn message_id(item: &Item) -> Option<&str> {
    match &item.place {
        Place::Message { message_id } => Some(message_id),
        Place::Object { .. } => None,
    }
}

fn without_body(mut message: Message) -> Message {
    message.body = String::new();
    message
}
