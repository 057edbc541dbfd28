//! Moves objects between the archive and the folder of discarded events.

use std::collections::VecDeque;

use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::digest;

use super::{Copied, Mover, Original, place};
use crate::archive::{ArchiveWriter, DISCARDED, MAX_OBJECT_BYTES, StoredObject};
use crate::operator::plan::{ClosingKind, Location, PlanItem};
use crate::operator::queue_reading::QueueReadError;

/// The mover of objects in one bucket.
pub struct ObjectMover<'a, A> {
    pub archive: &'a A,
    pub kind: ClosingKind,
}

impl<A: ArchiveWriter> ObjectMover<'_, A> {
    /// Returns the key of the copy; `None` if a discarded object is not in its folder.
    fn key_of_copy(&self, key: &str) -> Option<String> {
        match self.kind {
            ClosingKind::Discard => Some(format!("{DISCARDED}{key}")),
            ClosingKind::Restore => key.strip_prefix(DISCARDED).map(str::to_owned),
        }
    }
}

impl<A: ArchiveWriter> Mover for ObjectMover<'_, A> {
    type Fetched = ();

    async fn next(
        &mut self,
        _: &[PlanItem],
        todo: &mut VecDeque<usize>,
        most: usize,
    ) -> Result<Vec<(usize, ())>, QueueReadError> {
        Ok(todo.drain(..most.min(todo.len())).map(|index| (index, ())).collect())
    }

    async fn copy(
        &self,
        item: &PlanItem,
        (): (),
        _: Option<Timestamp>,
    ) -> Result<Copied, AwsError> {
        let (Location::Object { key, etag }, Some(copy)) =
            (&item.place, self.key_of_copy(place(item)))
        else {
            return Ok(Copied::Refused("the plan does not name an object".to_owned()));
        };
        let Some(object) = self.archive.read(key, MAX_OBJECT_BYTES).await? else {
            let has_copy = self.archive.read(&copy, MAX_OBJECT_BYTES).await?.is_some();
            return Ok(Copied::Gone { has_copy });
        };
        let document = Document::read(&object.content).ok();
        let message = document.as_ref().and_then(Document::message);
        let (Some(document), Some(message)) = (document, message) else {
            return Ok(Copied::Refused(
                "the object was changed after the plan was made".to_owned(),
            ));
        };
        if object.etag != *etag || digest::hexadecimal(&message.body) != item.body_sha256 {
            return Ok(Copied::Refused(
                "the object was changed after the plan was made".to_owned(),
            ));
        }
        let first_seen = Timestamp::parse(&document.first_seen_at).or(document.archived_at());
        let Some(first_seen) = first_seen else {
            return Ok(Copied::Refused("the object has no valid time".to_owned()));
        };
        if !store(self.archive, &copy, &object).await? {
            return Ok(Copied::Refused(format!("another object has the key {copy}")));
        }
        Ok(Copied::Verified(Original { copy, message_id: document.message_id, first_seen }))
    }

    async fn remove(&self, item: &PlanItem) -> Result<Result<(), String>, AwsError> {
        self.archive.delete(place(item)).await.map(Ok)
    }

    async fn release(&mut self) {}
}

/// Stores an object unless its key is taken, and reads it back. Returns false if another object has the key.
pub(super) async fn store(
    archive: &impl ArchiveWriter,
    key: &str,
    object: &StoredObject,
) -> Result<bool, AwsError> {
    archive.put_new(key, object).await?;
    let stored = archive.read(key, MAX_OBJECT_BYTES).await?;
    Ok(stored.is_some_and(|stored| stored.is_copy_of(object)))
}
