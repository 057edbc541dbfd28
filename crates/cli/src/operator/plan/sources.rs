//! Offers the dead letters of an archive or a queue to a plan.

use std::time::Duration;

use futures_util::TryStreamExt;
use genesys_replay::archive::{Document, DocumentFault};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;

use super::Location;
use super::builder::{PlanBuilder, Rejection};
use crate::archive::{ArchiveReader, ArchivedObject, MAX_OBJECT_BYTES, objects};
use crate::ledger::LedgerReader;
use crate::operator::Progress;
use crate::queue::QueueReader;
use crate::queue::drain::{DrainEnd, MAX_REPEATED_RECEIVES, QueueDrain};
use crate::queue::held::HeldMessages;
use crate::queue::receive_cost::{ReceiveCost, ReceiveRefusal};

const MAX_CONCURRENT_DOWNLOADS: usize = 16;

/// The visibility timeout while a queue is read: some thousand messages can be read in that time. A message that
/// becomes visible again before the end is recognised, and not considered again.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(300);

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

    /// Collects the messages of a queue, at most `limit`, and makes them visible again at the end. Counts their receives in
    /// `cost`, also after an error.
    ///
    /// # Errors
    /// [`CollectError`].
    pub async fn collect_from_queue(
        &mut self,
        queue: &impl QueueReader,
        limit: Option<u64>,
        cost: &mut ReceiveCost,
        progress: &dyn Progress,
    ) -> Result<(), CollectError> {
        cost.check()?;
        progress.begin("reading the queue", None);
        let held = HeldMessages::default();
        let drain = QueueDrain::new(queue, &held, MAX_REPEATED_RECEIVES);
        let collected = self.collect_received(&drain, limit, cost, progress).await;
        let hidden = held.release(queue, |_| {}).await.hidden;
        progress.end();
        if hidden > 0 {
            progress.warn(&format!(
                "{hidden} messages stay invisible for {VISIBILITY_TIMEOUT:?} at most"
            ));
        }
        collected
    }

    async fn collect_received(
        &mut self,
        drain: &QueueDrain<'_, impl QueueReader>,
        limit: Option<u64>,
        cost: &mut ReceiveCost,
        progress: &dyn Progress,
    ) -> Result<(), CollectError> {
        while drain.end().is_none() {
            if limit.is_some_and(|limit| cost.received >= limit) {
                progress.warn(&format!(
                    "stopped at --limit after {} messages; the queue may have more",
                    cost.received
                ));
                return Ok(());
            }
            let received = drain.receive(VISIBILITY_TIMEOUT).await?;
            cost.add(&received)?;
            for message in received {
                progress.advance(1);
                let message_id = message.id.to_string();
                let rejection = Rejection { at: message.sent_at, ..Rejection::default() };
                self.consider(message, Location::Message { message_id }, rejection).await?;
            }
        }
        if drain.end() == Some(DrainEnd::Repeating) {
            progress.warn(
                "the queue returns the same messages repeatedly, so others may not have been received",
            );
        }
        Ok(())
    }
}

/// The reason why the messages of a queue were not collected. All received messages are visible again.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error(transparent)]
    Receives(#[from] ReceiveRefusal),
    #[error(transparent)]
    Aws(#[from] AwsError),
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
