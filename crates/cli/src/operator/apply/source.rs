//! Fetches the dead letters of a plan from their source just before they are sent.

use std::collections::VecDeque;

use futures_util::future::try_join_all;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::digest;
use genesys_replay::message::{Message, TARGET_ARN, resent};

use crate::archive::{ArchiveReader, MAX_OBJECT_BYTES};
use crate::operator::plan::{Editing, Location, PlanItem};
use crate::operator::queue_reading::QueueReadError;
use crate::queue::DeleteError;
use crate::resend::keep_former_id;

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
    /// an empty list only if nothing is left to do, or after an interruption.
    ///
    /// # Errors
    /// [`QueueReadError`] if the source cannot be read now.
    fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Fetched>, QueueReadError>> + Send;

    /// Removes a dead letter from its source, after it was certainly sent. Returns `None` if nothing has to be removed,
    /// else the result of the deletion.
    fn on_sent(
        &self,
        item: &PlanItem,
    ) -> impl Future<Output = Option<Result<(), DeleteError>>> + Send;

    /// Releases a dead letter that is held and is not sent in this run.
    fn release(&self, _item: &PlanItem) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Releases the messages that are held and were not sent. Returns their number.
    fn release_unsent(&mut self) -> impl Future<Output = u64> + Send;
}

/// The dead letters in the archive, where they stay.
pub struct ArchiveSource<'a, A>(pub &'a A);

impl<A: ArchiveReader> DeadLetterSource for ArchiveSource<'_, A> {
    async fn fetch(
        &mut self,
        items: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<Fetched>, QueueReadError> {
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
                Err(error.into())
            }
        }
    }

    async fn on_sent(&self, _: &PlanItem) -> Option<Result<(), DeleteError>> {
        None
    }

    async fn release_unsent(&mut self) -> u64 {
        0
    }
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

/// Returns an item's message as it is sent: the body that the plan froze, with the plan's edit.
pub(super) fn ready(item: &PlanItem, mut message: Message) -> Result<Message, FetchError> {
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
