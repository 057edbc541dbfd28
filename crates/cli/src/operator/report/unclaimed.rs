//! Archived events without a ledger item: messages that the function archives without a claim.

use std::collections::HashMap;

use futures_util::{TryStreamExt, future};
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;

use super::NameCounts;
use crate::archive::{ArchiveReader, ArchivedObject, MAX_OBJECT_BYTES, objects};
use crate::ledger::{Record, event_at_target};
use crate::operator::Progress;

const MAX_CONCURRENT_DOWNLOADS: usize = 16;

/// The archived events that may be without a ledger item, with their failure codes, by event and target.
#[derive(Debug, Default)]
pub(super) struct UnclaimedEvents(HashMap<String, FailureCode>);

impl UnclaimedEvents {
    /// Reads the objects below a prefix that were archived without a claim, at `since` or later. Other objects are not
    /// read: the code is in the key.
    pub(super) async fn read(
        archive: &impl ArchiveReader,
        prefix: &str,
        since: Option<Timestamp>,
        progress: &dyn Progress,
    ) -> Result<Self, AwsError> {
        let mut events = HashMap::new();
        let mut documents = objects(archive, prefix)
            .try_filter(|object| future::ready(is_without_claim(object)))
            .map_ok(|object| read(archive, object))
            .try_buffered(MAX_CONCURRENT_DOWNLOADS);
        while let Some(document) = documents.try_next().await? {
            progress.advance(1);
            let Some(document) = document else {
                continue;
            };
            let is_within = since.is_none_or(|since| {
                document.archived_at().is_none_or(|archived| archived >= since)
            });
            if let Some(code) = document.code().filter(|_| is_within) {
                events.insert(event_at_target(&document.event_id, &document.target), code);
            }
        }
        Ok(Self(events))
    }

    /// Removes the event of a ledger item: it was claimed after it had been archived.
    pub(super) fn remove(&mut self, record: &Record) {
        if !self.0.is_empty() {
            self.0.remove(&record.event_at_target());
        }
    }

    /// Returns the counts by failure code.
    pub(super) fn counts(&self) -> NameCounts {
        let mut counts = NameCounts::default();
        for code in self.0.values() {
            counts.count(code.as_str());
        }
        counts
    }
}

/// Returns true if the key has such a code: `…/{event type}/{failure code}/{event id}-{first seen}.json`.
fn is_without_claim(object: &ArchivedObject) -> bool {
    let code = object.key.rsplit('/').nth(1).and_then(FailureCode::parse);
    object.size <= MAX_OBJECT_BYTES && code.is_some_and(FailureCode::is_without_claim)
}

async fn read(
    archive: &impl ArchiveReader,
    object: ArchivedObject,
) -> Result<Option<Document>, AwsError> {
    let content = archive.get(&object.key, MAX_OBJECT_BYTES).await?;
    Ok(content.and_then(|(content, _)| Document::read(&content).ok()))
}
