//! Fetches the dead letters of a plan from their source just before they are sent.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures_util::future::try_join_all;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::digest;
use genesys_replay::message::{Message, MessageId, TARGET_ARN, resent};
use tokio::time::Instant;

use crate::archive::{ArchiveReader, MAX_OBJECT_BYTES};
use crate::operator::plan::{Editing, Location, PlanItem};
use crate::queue::drain::{MAX_REPEATED_RECEIVES, QueueDrain};
use crate::queue::held::HeldMessages;
use crate::queue::{DeleteError, QueueReader};
use crate::resend::keep_former_id;

/// The visibility timeout of received messages. It is longer than sending takes, and still short if the program is
/// killed.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The maximum age of a receipt. Older messages are received again, because other consumers may have them by now.
const RECEIPT_TTL: Duration = Duration::from_secs(90);

/// The reason why a dead letter of a plan is not sent. Nothing has happened to the dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error(
        "the dead letter is not where it was when the plan was made, or another consumer holds it: --resume reads it again"
    )]
    Gone,
    #[error("the dead letter cannot be read: {0}")]
    Unreadable(String),
    #[error("the dead letter was changed after the plan was made")]
    Changed,
    #[error("the edit does not fit, because the dead letter was changed after the plan was made")]
    Edit,
}

/// The index of a plan's item, with the message to send or the reason why it is missing.
pub type Fetched = (usize, Result<Message, FetchError>);

pub trait DeadLetterSource: Send {
    /// Fetches at most `most` of the items in `todo`, and removes them from `todo`; the source chooses which. Returns
    /// an empty list only if nothing is left to do.
    ///
    /// # Errors
    /// [`AwsError`] if the source cannot be read now.
    fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Fetched>, AwsError>> + Send;

    /// Removes a dead letter from its source, after it was certainly sent. Returns `None` if nothing has to be removed,
    /// else the result of the deletion.
    fn on_sent(
        &mut self,
        item: &PlanItem,
    ) -> impl Future<Output = Option<Result<(), DeleteError>>> + Send;

    /// Releases the messages that are held and were not sent.
    fn release_unsent(&mut self) -> impl Future<Output = ()> + Send;
}

/// The dead letters in the archive, where they stay.
pub struct ArchiveSource<'a, A>(pub &'a A);

impl<A: ArchiveReader> DeadLetterSource for ArchiveSource<'_, A> {
    async fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, AwsError> {
        let indices: Vec<usize> = todo.drain(..most.min(todo.len())).collect();
        let this = &*self;
        let fetching = indices.iter().map(|index| this.message(&items[*index]));
        match try_join_all(fetching).await {
            Ok(messages) => Ok(indices.into_iter().zip(messages).collect()),
            Err(error) => {
                // Nothing was sent, so the items stay in `todo`.
                for index in indices.into_iter().rev() {
                    todo.push_front(index);
                }
                Err(error)
            }
        }
    }

    async fn on_sent(&mut self, _: &PlanItem) -> Option<Result<(), DeleteError>> {
        None
    }

    async fn release_unsent(&mut self) {}
}

impl<A: ArchiveReader> ArchiveSource<'_, A> {
    async fn message(&self, item: &PlanItem) -> Result<Result<Message, FetchError>, AwsError> {
        let Location::Object { key, etag } = &item.place else {
            return Ok(Err(FetchError::Gone));
        };
        let (content, now) = match self.0.get(key, MAX_OBJECT_BYTES).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Err(FetchError::Gone)),
            Err(error) if error.kind.is_item_specific() => {
                return Ok(Err(FetchError::Unreadable(error.why())));
            }
            Err(error) => return Err(error),
        };
        // Compare the whole object, not only the body, because the attributes name the target.
        if now != *etag {
            return Ok(Err(FetchError::Changed));
        }
        let message = Document::read(&content).ok().and_then(|it| it.message());
        Ok(message.ok_or(FetchError::Changed).and_then(|message| ready(item, message)))
    }
}

/// The dead letters in the parking queue, in the order of the queue's answers.
pub struct QueueSource<O> {
    queue: O,
    held: HeldMessages,
    /// Wanted messages that were received and not fetched yet: those of one call at most.
    waiting: VecDeque<(usize, Message)>,
    /// The time at which they were received.
    received: Instant,
}

impl<O: QueueReader> QueueSource<O> {
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
        let drain = QueueDrain::new(&self.queue, &self.held, MAX_REPEATED_RECEIVES);
        while self.waiting.is_empty() && drain.end().is_none() {
            self.received = Instant::now();
            let messages = drain.receive(VISIBILITY_TIMEOUT).await?.into_iter();
            let wanted = |message: Message| Some((*wanted.get(message.id.as_str())?, message));
            self.waiting.extend(messages.filter_map(wanted));
        }
        Ok(())
    }
}

impl<O: QueueReader> DeadLetterSource for QueueSource<O> {
    async fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, AwsError> {
        if self.received.elapsed() > RECEIPT_TTL && !self.waiting.is_empty() {
            // Make them visible again now, so that they can be received anew. If this fails, their visibility timeout
            // ends soon.
            let stale = self.waiting.drain(..);
            let stale: Vec<Message> =
                stale.filter_map(|(_, message)| self.held.take(&message.id)).collect();
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
            return Ok(gone.map(|index| (index, Err(FetchError::Gone))).collect());
        }
        let received = self.waiting.drain(..most.min(self.waiting.len()));
        let fetched: Vec<Fetched> =
            received.map(|(index, message)| (index, ready(&items[index], message))).collect();
        todo.retain(|waiting| fetched.iter().all(|(index, _)| index != waiting));
        Ok(fetched)
    }

    async fn on_sent(&mut self, item: &PlanItem) -> Option<Result<(), DeleteError>> {
        let message = self.held.take(&MessageId::new(message_id(item)?)?)?;
        let failed = self.queue.delete(&[message]).await;
        Some(failed.into_iter().next().map_or(Ok(()), Err))
    }

    async fn release_unsent(&mut self) {
        self.waiting.clear();
        // Ignore failures, because these messages become visible again after their visibility timeout.
        let _ = self.held.release(&self.queue, |_| {}).await;
    }
}

fn message_id(item: &PlanItem) -> Option<&str> {
    match &item.place {
        Location::Message { message_id } => Some(message_id),
        Location::Object { .. } => None,
    }
}

/// Returns an item's message as it is sent: the body that the plan froze, with the plan's edit.
fn ready(item: &PlanItem, mut message: Message) -> Result<Message, FetchError> {
    if digest::hexadecimal(&message.body) != item.body_sha256 {
        return Err(FetchError::Changed);
    }
    if let Some(from) = &item.redirected_from {
        message.attributes.insert(TARGET_ARN.to_owned(), item.target_key().to_owned());
        // So that the function looks once more whether the old target has the event by now.
        message.attributes.insert(resent::REDIRECTED_FROM.to_owned(), from.clone());
    }
    // Before the edit, because an edit must not change the event's id.
    keep_former_id(&mut message, item.event_id());
    if let Some(edit) = &item.edit {
        let editing = Editing::of(edit.patch.clone()).map_err(|_| FetchError::Edit)?;
        let change = editing.change(&message.body).map_err(|_| FetchError::Edit)?;
        if digest::hexadecimal(&change.body) != edit.body_sha256 {
            return Err(FetchError::Edit);
        }
        message.body = change.body;
    }
    Ok(message)
}
