//! The dead letters of a plan that are in the parking queue: they leave it once they are sent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::message::Message;
use tokio::time::Instant;

use super::letters::{Fetched, Letters, Lost, ready};
use crate::operator::plan::{Item, Place};
use crate::queue::{DeleteError, QueueReader};

/// How long what is received stays hidden from others: longer than sending takes, and not too long should the program be
/// killed.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// What was received longer ago than this is left to be received again: others may have it by now.
const RECEIPT_TTL: Duration = Duration::from_secs(90);

/// So many empty answers in a row: there is no more, or all is with somebody.
const MAX_EMPTY_RECEIVES: u32 = 3;

/// So many answers in a row with nothing but what was seen before: it goes round in circles.
const MAX_REPEATED_RECEIVES: u32 = 50;

/// Those in the parking queue. It hands them out in an order of its own.
pub struct ParkingLetters<O> {
    queue: O,
    /// Received, wanted, and not handed out yet: of one call at most.
    waiting: VecDeque<(usize, Message)>,
    /// When they were received.
    received: Instant,
    /// Handed out, by item: what is needed to take them off the queue. Without their bodies.
    out: HashMap<String, Message>,
    /// Not wanted, or not sent: what is needed to give them back.
    others: HashMap<String, Message>,
}

impl<O: QueueReader> ParkingLetters<O> {
    /// Those in this queue.
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

    /// Receives until something wanted is there, or nothing more comes.
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
            // Shown to all now, so that it can be received anew; what fails comes back by itself.
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
            // Nobody has seen them: they are not there, or with somebody else.
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
        // What cannot be given back comes back by itself, within the hold.
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
