//! The messages of a plan in a queue, which one reading of the queue holds until they are sent.
//!
//! Every message of the queue is received once in a run, whatever the number of waves, because each receive brings a
//! message nearer to the parking queue. Messages that are not in the plan are released when the reading is complete.

use std::collections::{HashMap, HashSet, VecDeque};

use genesys_replay::message::{Message, MessageId};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::source::{DeadLetterSource, FetchError, Fetched, ready};
use crate::operator::Progress;
use crate::operator::plan::{Location, Plan, PlanItem};
use crate::operator::queue_reading::{
    QueueReadError, QueueReading, ReadInterrupted, ReadScope, WholeReadError,
};
use crate::queue::{DeleteError, QueueReader};

/// The maximum size of the bodies in memory, in bytes. A longer plan is read in several passes, and the messages of the
/// earlier ones stay held.
pub const MAX_WAITING_BYTES: usize = 128 * 1024 * 1024;

/// The dead letters in a queue.
pub struct QueueSource<'a, Q> {
    reading: &'a QueueReading<'a, Q>,
    plan: &'a str,
    stop: &'a CancellationToken,
    progress: &'a dyn Progress,
    max_waiting_bytes: usize,
    /// The indices of the plan's items by message id.
    wanted: HashMap<String, usize>,
    /// Wanted messages that were received and not fetched yet, by index.
    waiting: HashMap<usize, Message>,
    waiting_bytes: usize,
}

impl<'a, Q: QueueReader> QueueSource<'a, Q> {
    /// Returns the source of a plan's messages. Receives nothing.
    pub fn new(
        reading: &'a QueueReading<'a, Q>,
        plan: &'a Plan,
        stop: &'a CancellationToken,
        progress: &'a dyn Progress,
    ) -> Self {
        let items = plan.content.items.iter().enumerate();
        let wanted = items.filter_map(|(index, item)| Some((message_id(item)?.to_owned(), index)));
        Self {
            reading,
            plan: &plan.id,
            stop,
            progress,
            max_waiting_bytes: MAX_WAITING_BYTES,
            wanted: wanted.collect(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
        }
    }

    /// Limits the size of the bodies in memory.
    #[must_use]
    pub fn with_max_waiting_bytes(self, max_waiting_bytes: usize) -> Self {
        Self { max_waiting_bytes, ..self }
    }

    /// Reads the queue before the first fetch, with progress.
    ///
    /// # Errors
    /// [`WholeReadError`]: nothing was sent, and all messages are visible again.
    pub async fn prepare(&mut self) -> Result<(), WholeReadError> {
        self.reading.begin("reading");
        let passed = self.pass().await;
        self.progress.end();
        match passed {
            Ok(true) => Ok(()),
            Ok(false) => {
                let released = self.release_unsent().await;
                Err(ReadInterrupted { released }.into())
            }
            Err(error) => {
                self.release_unsent().await;
                Err(error.into())
            }
        }
    }

    /// Receives messages until the queue has no more, or the memory is used up. Returns false after an interruption.
    async fn pass(&mut self) -> Result<bool, QueueReadError> {
        let mut copies = HashSet::new();
        let Self {
            reading,
            plan,
            stop,
            progress,
            max_waiting_bytes,
            wanted,
            waiting,
            waiting_bytes,
        } = self;
        let leaves = |id: &MessageId| wanted.contains_key(id.as_str());
        let scope = ReadScope { limit: None, leaves: &leaves };
        let take = async |mut messages: Receiver<Vec<Message>>| {
            while let Some(batch) = messages.recv().await {
                progress.advance(batch.len() as u64);
                for message in batch {
                    if let Some(index) = wanted.get(message.id.as_str()) {
                        *waiting_bytes += message.body.len();
                        waiting.insert(*index, message);
                    } else if message.replay_plan() == Some(*plan) {
                        copies.insert(message.id);
                    }
                }
                if *waiting_bytes >= *max_waiting_bytes {
                    // Open calls still hand their messages over.
                    messages.close();
                }
            }
        };
        if Box::pin(reading.read(scope, stop.cancelled(), take)).await?.is_none() {
            return Ok(false);
        }
        if reading.end().is_some() {
            reading.release_except(leaves).await;
        } else if !copies.is_empty() {
            // The function must receive the copies that this run has sent.
            reading.release_except(|id| !copies.contains(id)).await;
        }
        Ok(true)
    }

    /// Takes a received message.
    fn take(&mut self, items: &[PlanItem], index: usize) -> Option<Fetched> {
        let message = self.waiting.remove(&index)?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(message.body.len());
        Some((index, ready(&items[index], message)))
    }
}

impl<Q: QueueReader> DeadLetterSource for QueueSource<'_, Q> {
    async fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, QueueReadError> {
        loop {
            let has_ended = self.reading.end().is_some();
            let mut fetched = Vec::new();
            let mut missing = VecDeque::new();
            while fetched.len() < most
                && let Some(index) = todo.pop_front()
            {
                match self.take(items, index) {
                    Some(found) => fetched.push(found),
                    // The queue did not return this message: it is deleted, or in flight elsewhere.
                    None if has_ended => fetched.push((index, Err(FetchError::Gone))),
                    None => missing.push_back(index),
                }
            }
            missing.append(todo);
            *todo = missing;
            if !fetched.is_empty() || todo.is_empty() || !self.pass().await? {
                return Ok(fetched);
            }
        }
    }

    async fn on_sent(&self, item: &PlanItem) -> Option<Result<(), DeleteError>> {
        self.reading.delete(&MessageId::new(message_id(item)?)?).await
    }

    async fn release(&self, item: &PlanItem) {
        let id = message_id(item);
        self.reading.release_except(|held| Some(held.as_str()) != id).await;
    }

    async fn release_unsent(&mut self) -> u64 {
        self.waiting.clear();
        self.reading.release().await.visible
    }
}

fn message_id(item: &PlanItem) -> Option<&str> {
    match &item.place {
        Location::Message { message_id } => Some(message_id),
        Location::Object { .. } => None,
    }
}
