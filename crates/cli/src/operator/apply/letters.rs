//! Fetches the dead letters of a plan from their source just before they are sent.

use std::collections::VecDeque;

use futures_util::future::try_join_all;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::digest;
use genesys_replay::message::Message;

use crate::archive::{ArchiveReader, MAX_OBJECT_BYTES};
use crate::operator::plan::{Editing, Item, Place};
use crate::queue::DeleteError;

/// The reason why a dead letter of a plan is not sent. Nothing has happened to the dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error(
        "it is not where it was when the plan was made, or somebody else looks at it: --resume looks again"
    )]
    Gone,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it was changed after the plan was made")]
    Changed,
    #[error("its edit does not fit: it was changed after the plan was made")]
    Edit,
}

/// The index of a plan's item, with the message to send or the reason why it is missing.
pub type Fetched = (usize, Result<Message, Lost>);

/// The source of a plan's dead letters.
pub trait Letters: Send {
    /// Fetches at most `most` of the items in `todo`, and removes them from `todo`; the source chooses which. Returns
    /// an empty list only if nothing is left to do.
    ///
    /// # Errors
    /// [`AwsError`] if the source cannot be read now.
    fn fetch(
        &mut self,
        items: &[Item],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Fetched>, AwsError>> + Send;

    /// Removes a dead letter from its source, after it was certainly sent. Returns `None` if nothing has to be removed,
    /// else the result of the deletion.
    fn sent(&mut self, item: &Item)
    -> impl Future<Output = Option<Result<(), DeleteError>>> + Send;

    /// Releases the messages that are held and were not sent.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// The dead letters in the archive, where they stay.
pub struct ArchiveLetters<'a, A>(pub &'a A);

impl<A: ArchiveReader> Letters for ArchiveLetters<'_, A> {
    async fn fetch(
        &mut self,
        items: &[Item],
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

    async fn sent(&mut self, _: &Item) -> Option<Result<(), DeleteError>> {
        None
    }

    async fn close(&mut self) {}
}

impl<A: ArchiveReader> ArchiveLetters<'_, A> {
    async fn message(&self, item: &Item) -> Result<Result<Message, Lost>, AwsError> {
        let Place::Object { key, etag } = &item.place else {
            return Ok(Err(Lost::Gone));
        };
        let (content, now) = match self.0.get(key, MAX_OBJECT_BYTES).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Err(Lost::Gone)),
            Err(error) if error.kind.is_item_specific() => {
                return Ok(Err(Lost::Unreadable(error.why())));
            }
            Err(error) => return Err(error),
        };
        // Compare the whole object, not only the body, because the attributes name the target.
        if now != *etag {
            return Ok(Err(Lost::Changed));
        }
        let message = Document::read(&content).ok().and_then(|it| it.message());
        Ok(message
            .ok_or(Lost::Changed)
            .and_then(|message| ready(item, message)))
    }
}

/// Returns an item's message as it is sent: the body that the plan froze, with the plan's edit.
pub(super) fn ready(item: &Item, mut message: Message) -> Result<Message, Lost> {
    if digest::hexadecimal(&message.body) != item.body_sha256 {
        return Err(Lost::Changed);
    }
    if let Some(edit) = &item.edit {
        let editing = Editing::of(edit.patch.clone()).map_err(|_| Lost::Edit)?;
        let change = editing.change(&message.body).map_err(|_| Lost::Edit)?;
        if digest::hexadecimal(&change.body) != edit.body_sha256 {
            return Err(Lost::Edit);
        }
        message.body = change.body;
    }
    Ok(message)
}
