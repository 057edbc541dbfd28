//! The dead letters of a plan, fetched from where they are just before they are sent.

use std::collections::VecDeque;

use futures_util::future::join_all;
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::digest;
use genesys_replay::message::Message;

use crate::archive::{ArchiveReader, MAX_OBJECT_BYTES};
use crate::operator::plan::{Editing, Item, Place};
use crate::queue::DeleteError;

/// Why a dead letter of a plan is not sent: nothing has happened to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It is not there any more.
    #[error(
        "it is not where it was when the plan was made, or somebody else looks at it: --resume looks again"
    )]
    Gone,
    /// It is there, and cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is another one by now.
    #[error("it was changed after the plan was made")]
    Changed,
    /// The edit does not fit.
    #[error("its edit does not fit: it was changed after the plan was made")]
    Edit,
}

/// A dead letter of a plan, by its place in it: the message to be sent, or why there is none.
pub type Fetched = (usize, Result<Message, Lost>);

/// Where the dead letters of a plan are.
pub trait Letters: Send {
    /// Fetches at most `most` of those in `todo`, and takes them from it; the source chooses which. Nothing is
    /// fetched only when nothing is left to do.
    ///
    /// # Errors
    /// [`AwsError`]: the source cannot be read now.
    fn fetch(
        &mut self,
        items: &[Item],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Fetched>, AwsError>> + Send;

    /// The dead letter has been sent, for good: it need not stay where it was. Answers why it is still there, if it
    /// should have gone.
    fn sent(&mut self, item: &Item)
    -> impl Future<Output = Option<Result<(), DeleteError>>> + Send;

    /// Whether what is sent leaves the place where it was.
    fn moves(&self) -> bool;

    /// Gives back what is held and was not sent.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// Those in the archive, where they stay.
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
        let fetching = indices.iter().filter_map(|index| {
            let item = items.get(*index)?;
            Some(async move { Ok((*index, this.message(item).await?)) })
        });
        let fetched: Result<Vec<Fetched>, AwsError> =
            join_all(fetching).await.into_iter().collect();
        if fetched.is_err() {
            // Nothing has happened to them: they are still to do.
            for index in indices.into_iter().rev() {
                todo.push_front(index);
            }
        }
        fetched
    }

    async fn sent(&mut self, _: &Item) -> Option<Result<(), DeleteError>> {
        None
    }

    fn moves(&self) -> bool {
        false
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
        // Its attributes say where it goes: they are as much part of the plan as the body.
        if now != *etag {
            return Ok(Err(Lost::Changed));
        }
        let message = Document::read(&content).ok().and_then(|it| it.message());
        Ok(message
            .ok_or(Lost::Changed)
            .and_then(|message| ready(item, message)))
    }
}

/// The message of an item as it is sent: the body that the plan froze, edited if the plan says so.
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
