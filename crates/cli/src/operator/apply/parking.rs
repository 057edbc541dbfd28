//! The dead letters of a plan that are in the parking queue. They leave it once they are sent.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use genesys_replay::aws::AwsError;
use genesys_replay::message::{Message, MessageId};
use tokio::time::Instant;

use super::letters::{Fetched, Letters, Lost, ready};
use crate::operator::plan::{Item, Place};
use crate::queue::drain::{MAX_RECEIVES_WITHOUT_NEW, QueueDrain};
use crate::queue::held::HeldMessages;
use crate::queue::{DeleteError, QueueReader};

/// The visibility timeout of received messages. It is longer than sending takes, and still short if the program is
/// killed.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The maximum age of a receipt. Older messages are received again, because other consumers may have them by now.
const RECEIPT_TTL: Duration = Duration::from_secs(90);

/// The dead letters in the parking queue, in the order of the queue's answers.
pub struct ParkingLetters<O> {
    queue: O,
    held: HeldMessages,
    /// Wanted messages that were received and not fetched yet: those of one call at most.
    waiting: VecDeque<(usize, Message)>,
    /// The time at which they were received.
    received: Instant,
}

impl<O: QueueReader> ParkingLetters<O> {
    pub fn new(queue: O) -> Self {
        Self {
            queue,
            held: HeldMessages::default(),
            waiting: VecDeque::new(),
            received: Instant::now(),
        }
    }

    /// Receives until a wanted message arrives, or the receiving ends without one.
    async fn receive(&mut self, wanted: &HashMap<&str, usize>) -> Result<(), AwsError> {
        let drain = QueueDrain::new(&self.queue, &self.held, MAX_RECEIVES_WITHOUT_NEW);
        while self.waiting.is_empty() && drain.end().is_none() {
            self.received = Instant::now();
            let messages = drain.receive(VISIBILITY_TIMEOUT).await?.into_iter();
            let wanted = |message: Message| Some((*wanted.get(message.id.as_str())?, message));
            self.waiting.extend(messages.filter_map(wanted));
        }
        Ok(())
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
            // Make them visible again now, so that they can be received anew. If this fails, their visibility timeout
            // ends soon.
            let stale = self.waiting.drain(..);
            let stale: Vec<Message> = stale
                .filter_map(|(_, message)| self.held.take(&message.id))
                .collect();
            let _ = self.queue.change_visibility(&stale, Duration::ZERO).await;
        }
        if self.waiting.is_empty() {
            let wanted: HashMap<&str, usize> = todo
                .iter()
                .filter_map(|index| Some((message_id(&items[*index])?, *index)))
                .collect();
            self.receive(&wanted).await?;
        }
        if self.waiting.is_empty() {
            // The queue did not return these messages: they are deleted, or in flight elsewhere.
            let gone = todo.drain(..most.min(todo.len()));
            return Ok(gone.map(|index| (index, Err(Lost::Gone))).collect());
        }
        let received = self.waiting.drain(..most.min(self.waiting.len()));
        let fetched: Vec<Fetched> = received
            .map(|(index, message)| (index, ready(&items[index], message)))
            .collect();
        todo.retain(|waiting| fetched.iter().all(|(index, _)| index != waiting));
        Ok(fetched)
    }

    async fn sent(&mut self, item: &Item) -> Option<Result<(), DeleteError>> {
        let message = self.held.take(&MessageId::new(message_id(item)?)?)?;
        let failed = self.queue.delete(&[message]).await;
        Some(failed.into_iter().next().map_or(Ok(()), Err))
    }

    async fn close(&mut self) {
        self.waiting.clear();
        // Ignore failures, because these messages become visible again after their visibility timeout.
        let _ = self.held.release(&self.queue, |_| {}).await;
    }
}

fn message_id(item: &Item) -> Option<&str> {
    match &item.place {
        Place::Message { message_id } => Some(message_id),
        Place::Object { .. } => None,
    }
}
