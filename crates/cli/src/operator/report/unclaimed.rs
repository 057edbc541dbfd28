//! Archived events without a ledger item: messages that the function archives without a claim.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{TryStreamExt, future};
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;

use super::selected::{MAX_CONCURRENT_DOWNLOADS, is_selected, read};
use super::{NameCounts, ReportScope};
use crate::archive::{ArchiveReader, objects};
use crate::ledger::{Record, event_at_target};
use crate::operator::Progress;
use crate::operator::plan::Selection;

/// The maximum retention of a queue.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 86_400);

/// The archived events that may be without a ledger item, with their failure codes, by event and target.
#[derive(Debug, Default)]
pub(super) struct UnclaimedEvents(HashMap<String, FailureCode>);

impl UnclaimedEvents {
    /// Reads the objects below a prefix that were archived without a claim, at `since` or later. Other objects are not
    /// read: code and time are in the key.
    pub(super) async fn read(
        archive: &impl ArchiveReader,
        prefix: &str,
        since: Timestamp,
        scope: &ReportScope<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, AwsError> {
        let mut events = HashMap::new();
        // The key has the time at which the message was sent, and SQS keeps a message for 14 days.
        let seen_since = since.minus(MAX_RETENTION);
        let mut documents = objects(archive, prefix)
            .try_filter(|object| {
                let code = code_in(&object.key);
                let is_without_claim = code.is_some_and(FailureCode::is_without_claim);
                future::ready(is_without_claim && !object.is_older(seen_since))
            })
            .map_ok(|object| read(archive, object))
            .try_buffered(MAX_CONCURRENT_DOWNLOADS);
        while let Some(document) = documents.try_next().await? {
            progress.advance(1);
            let (event, code) = match document {
                Ok(document) if document.archived_at().is_some_and(|at| at < since) => continue,
                Ok(document) if !is_within(&document, scope) => continue,
                Ok(document) => {
                    (event_at_target(&document.event_id, &document.target), document.code())
                }
                Err(_) if *scope.selection != Selection::default() => continue,
                // Counted by its key, because it is an archived event too.
                Err(key) => {
                    let code = code_in(&key);
                    (key, code)
                }
            };
            events.extend(code.map(|code| (event, code)));
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

fn is_within(document: &Document, scope: &ReportScope<'_>) -> bool {
    let is_later = |until| document.archived_at().is_some_and(|at| at >= until);
    !scope.until.is_some_and(is_later) && is_selected(document, scope)
}

/// Returns the code in a key: `…/{event type}/{failure code}/{event id}-{first seen}.json`.
fn code_in(key: &str) -> Option<FailureCode> {
    key.rsplit('/').nth(1).and_then(FailureCode::parse)
}
