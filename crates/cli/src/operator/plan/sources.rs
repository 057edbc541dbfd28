//! Offers the dead letters of an archive or a queue to a plan.

use futures_util::TryStreamExt;
use genesys_replay::archive::{Document, DocumentFault};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::message::Message;
use tokio::sync::mpsc::Receiver;

use super::Location;
use super::builder::{PlanBuilder, Rejection};
use crate::archive::{ArchiveReader, ArchivedObject, MAX_OBJECT_BYTES, objects};
use crate::ledger::LedgerReader;
use crate::operator::Progress;
use crate::operator::queue_reading::{QueueReadError, QueueReading, ReadScope, WholeReadError};
use crate::queue::QueueReader;

const MAX_CONCURRENT_DOWNLOADS: usize = 16;

impl<L: LedgerReader> PlanBuilder<'_, L> {
    /// Collects all objects of an archive below `prefix`.
    pub async fn collect_from_archive(
        &mut self,
        archive: &impl ArchiveReader,
        prefix: &str,
        progress: &dyn Progress,
    ) -> Result<(), AwsError> {
        progress.begin("reading the archive", None);
        let mut documents = objects(archive, prefix)
            .map_ok(|object| async move {
                let document = read(archive, &object).await?;
                Ok((object, document))
            })
            .try_buffered(MAX_CONCURRENT_DOWNLOADS);
        while let Some((object, document)) = documents.try_next().await? {
            progress.advance(1);
            match document {
                Ok(document) => self.consider_document(object, document).await?,
                Err(reason) => self.exclusions.add(reason, &object.key),
            }
        }
        progress.end();
        Ok(())
    }

    /// Considers these objects.
    pub(super) async fn consider_objects(
        &mut self,
        archive: &impl ArchiveReader,
        objects: Vec<ArchivedObject>,
    ) -> Result<(), AwsError> {
        for object in objects {
            if let Ok(document) = read(archive, &object).await? {
                self.consider_document(object, document).await?;
            }
        }
        self.look_up().await
    }

    async fn consider_document(
        &mut self,
        object: ArchivedObject,
        document: Option<Document>,
    ) -> Result<(), AwsError> {
        if let Some(document) = document
            && let Some(message) = document.message()
        {
            let ArchivedObject { key, etag, .. } = object;
            let rejection = Rejection {
                at: document.archived_at(),
                code: Some(document.failure_code),
                target: Some(document.target),
                first_seen: Timestamp::parse(&document.first_seen_at),
            };
            self.consider(message, Location::Object { key, etag }, rejection).await?;
        }
        Ok(())
    }

    /// Collects the messages of a queue, at most `limit`, and makes them visible again at the end.
    ///
    /// # Errors
    /// [`WholeReadError`]
    pub async fn collect_from_queue(
        &mut self,
        reading: &QueueReading<'_, impl QueueReader>,
        limit: Option<u64>,
        stop: impl Future<Output = ()>,
        progress: &dyn Progress,
    ) -> Result<(), WholeReadError> {
        reading.begin("reading");
        let consider = async |messages| self.consider_messages(messages, progress).await;
        let read = reading.read_and_release(ReadScope::staying(limit), stop, consider).await?;
        read.map_err(QueueReadError::from)?;
        let received = reading.cost().received;
        if limit.is_some_and(|limit| received >= limit) {
            progress.warn(&format!(
                "stopped at --limit after {received} messages; the queue may have more"
            ));
        }
        Ok(())
    }

    async fn consider_messages(
        &mut self,
        mut messages: Receiver<Vec<Message>>,
        progress: &dyn Progress,
    ) -> Result<(), AwsError> {
        while let Some(batch) = messages.recv().await {
            for message in batch {
                progress.advance(1);
                let message_id = message.id.to_string();
                let rejection = Rejection { at: message.sent_at, ..Rejection::default() };
                self.consider(message, Location::Message { message_id }, rejection).await?;
            }
        }
        Ok(())
    }
}

/// Reads an object; `None` if it was deleted after it was listed. The inner error is the reason why only this object is
/// not a dead letter.
async fn read(
    archive: &impl ArchiveReader,
    object: &ArchivedObject,
) -> Result<Result<Option<Document>, String>, AwsError> {
    if object.size > MAX_OBJECT_BYTES {
        return Ok(Err("the object is too long to be an archived dead letter".to_owned()));
    }
    match archive.get(&object.key, MAX_OBJECT_BYTES).await {
        Ok(None) => Ok(Ok(None)),
        Ok(Some((content, _))) => {
            Ok(Document::read(&content).map(Some).map_err(|fault| match fault {
                DocumentFault::Foreign { .. } => {
                    "the object is not an archived dead letter".to_owned()
                }
                DocumentFault::Member(_) => format!("the object is damaged: {fault}"),
            }))
        }
        Err(error) if error.kind.is_item_specific() => {
            Ok(Err(format!("the object cannot be read: {}", error.why())))
        }
        Err(error) => Err(error),
    }
}
