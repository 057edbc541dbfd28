//! Offers the dead letters of an archive or a queue to a plan.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use genesys_replay::archive::{Document, DocumentFault};
use genesys_replay::aws::AwsError;
use genesys_replay::message::Message;

use super::Place;
use super::making::{Candidate, Making};
use crate::archive::{ArchiveReader, ArchivedObject, MAX_OBJECT_BYTES, objects};
use crate::ledger::LedgerReader;
use crate::operator::Progress;
use crate::queue::QueueReader;

/// The maximum number of concurrent downloads.
const MAX_CONCURRENT_DOWNLOADS: usize = 16;

/// The visibility timeout while a queue is read: some thousand messages can be read in that time. A message that
/// becomes visible again before the end is recognised, and not offered again.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(300);

/// The number of consecutive empty answers that end the receiving: the queue is empty, or all messages are in flight.
const MAX_EMPTY_RECEIVES: u32 = 3;

/// The number of consecutive answers with only repeated messages that end the receiving.
const MAX_REPEATED_RECEIVES: u32 = 50;

/// The result of reading an object.
enum Content {
    Read(Vec<u8>),
    /// The object was deleted after it was listed.
    Gone,
    TooLong,
    /// Only this object cannot be read; others may be readable.
    Unreadable(String),
}

impl Content {
    fn of(read: Result<Option<(Vec<u8>, String)>, AwsError>) -> Result<Self, AwsError> {
        match read {
            Ok(Some((content, _))) => Ok(Self::Read(content)),
            Ok(None) => Ok(Self::Gone),
            Err(error) if error.kind.is_item_specific() => Ok(Self::Unreadable(error.why())),
            Err(error) => Err(error),
        }
    }
}

impl<L: LedgerReader> Making<'_, L> {
    /// Offers all objects of an archive below `prefix`.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn offer_archive(
        &mut self,
        archive: &impl ArchiveReader,
        prefix: &str,
        progress: &dyn Progress,
    ) -> Result<(), AwsError> {
        progress.begin("reading the archive", None);
        let mut contents = objects(archive, prefix)
            .map_ok(|kept| async move {
                let content = if kept.size > MAX_OBJECT_BYTES {
                    Content::TooLong
                } else {
                    Content::of(archive.get(&kept.key, MAX_OBJECT_BYTES).await)?
                };
                Ok((kept, content))
            })
            .try_buffered(MAX_CONCURRENT_DOWNLOADS);
        while let Some((kept, content)) = contents.try_next().await? {
            progress.advance(1);
            match content {
                Content::Read(content) => self.offer_object(kept, &content).await?,
                Content::Gone => {}
                Content::TooLong => self.rest.add(
                    "the object is too long to be an archived dead letter",
                    &kept.key,
                ),
                Content::Unreadable(why) => {
                    self.rest
                        .add(&format!("the object cannot be read: {why}"), &kept.key);
                }
            }
        }
        progress.end();
        Ok(())
    }

    async fn offer_object(&mut self, kept: ArchivedObject, content: &[u8]) -> Result<(), AwsError> {
        let document = match Document::read(content) {
            Ok(document) => document,
            Err(fault) => {
                let reason = match fault {
                    DocumentFault::Foreign { .. } => {
                        "the object is no archived dead letter".to_owned()
                    }
                    DocumentFault::Member(_) => format!("the object is damaged: {fault}"),
                };
                self.rest.add(&reason, &kept.key);
                return Ok(());
            }
        };
        if let Some(message) = document.message() {
            self.offer(Candidate {
                message,
                code: Some(document.failure_code.clone()),
                at: document.archived_at(),
                place: Place::Object {
                    key: kept.key,
                    etag: kept.etag,
                },
            })
            .await?;
        }
        Ok(())
    }

    /// Offers all messages of a queue, and makes them visible again at the end.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn offer_queue(
        &mut self,
        queue: &impl QueueReader,
        progress: &dyn Progress,
    ) -> Result<(), AwsError> {
        progress.begin("reading the queue", None);
        let mut held = HashMap::new();
        let offered = self.offer_received(queue, &mut held, progress).await;
        let held: Vec<Message> = held.into_values().collect();
        let hidden = queue.release(&held).await;
        progress.end();
        if !hidden.is_empty() {
            progress.warn(&format!(
                "{} messages stay hidden for {VISIBILITY_TIMEOUT:?} at most",
                hidden.len()
            ));
        }
        offered
    }

    async fn offer_received(
        &mut self,
        queue: &impl QueueReader,
        held: &mut HashMap<String, Message>,
        progress: &dyn Progress,
    ) -> Result<(), AwsError> {
        let (mut empty, mut known) = (0, 0);
        while empty < MAX_EMPTY_RECEIVES {
            let messages = queue.receive(VISIBILITY_TIMEOUT).await?;
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            known += 1;
            for message in messages {
                let mut receipt = message.clone();
                receipt.body = String::new();
                if held.insert(message.id.to_string(), receipt).is_some() {
                    continue;
                }
                known = 0;
                progress.advance(1);
                self.offer(Candidate {
                    place: Place::Message {
                        message_id: message.id.to_string(),
                    },
                    code: None,
                    at: message.sent_at,
                    message,
                })
                .await?;
            }
            if known >= MAX_REPEATED_RECEIVES {
                progress.warn(
                    "the queue shows the same messages again and again: there may be some that were not seen",
                );
                break;
            }
        }
        Ok(())
    }
}
