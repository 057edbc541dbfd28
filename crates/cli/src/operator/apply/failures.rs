//! The sent dead letters that were not delivered, with the answers of their targets.

use std::collections::BTreeMap;

use genesys_replay::archive::{Document, object_key};
use genesys_replay::clock::Timestamp;

use crate::archive::{ArchiveReader, MAX_OBJECT_BYTES};
use crate::ledger::{LedgerReader, Record};
use crate::operator::plan::PlanItem;

/// The maximum number of failures in a summary. The audit has all of them.
const MAX_FAILURES: usize = 10;

/// The maximum number of objects that are read for one failure: one for each target and body of the event.
const MAX_OBJECTS: usize = 5;

/// A sent dead letter that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayFailure {
    key: String,
    /// The key for people.
    pub shown: String,
    event_type: String,
    target: String,
    /// The number of the wave. Wave 1 is the canary, and wave 0 an earlier run.
    pub wave: usize,
    /// The name of the outcome, such as `archived_again` or `deferred`.
    pub outcome: &'static str,
    /// The failure code; empty if it is not known.
    pub code: String,
    pub reason: Option<ArchivedReason>,
}

/// The reason in words, from the archived object of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedReason {
    pub text: String,
    /// The time at which the object was written. The archive keeps the first object of an event and a code, so the time
    /// may be that of an earlier rejection.
    pub archived_at: Option<Timestamp>,
}

impl ReplayFailure {
    pub(super) fn of(item: &PlanItem, wave: usize, outcome: &'static str, code: &str) -> Self {
        Self {
            key: item.key.clone(),
            shown: item.shown(),
            event_type: item.event_type.clone(),
            target: item.target.clone(),
            wave,
            outcome,
            code: code.to_owned(),
            reason: None,
        }
    }

    /// Returns the event's id.
    pub fn event_id(&self) -> &str {
        self.key.split('|').next().unwrap_or_default()
    }

    /// Returns the target for people.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Returns the first failures, in the order of their waves.
pub(super) fn first(failures: BTreeMap<usize, ReplayFailure>) -> Vec<ReplayFailure> {
    let mut failures: Vec<ReplayFailure> = failures.into_values().collect();
    failures.sort_by_key(|failure| failure.wave);
    failures.truncate(MAX_FAILURES);
    failures
}

/// Adds codes from the ledger and reasons from the archive. A failure stays unchanged if they cannot be read, because
/// they are only shown to people.
pub async fn add_reasons(
    failures: &mut [ReplayFailure],
    ledger: &impl LedgerReader,
    archive: Option<(&impl ArchiveReader, &str)>,
) {
    let keys: Vec<&str> = failures.iter().map(|failure| failure.key.as_str()).collect();
    let Ok(records) = ledger.find_by_key(&keys).await else {
        return;
    };
    for failure in failures {
        let Some(record) = records.get(&failure.key) else {
            continue;
        };
        if failure.code.is_empty() {
            failure.code = record.failure_code.clone().unwrap_or_default();
        }
        if let Some((archive, prefix)) = archive {
            failure.reason = reason(failure, record, archive, prefix).await;
        }
    }
}

/// Returns the newest reason in the archived objects of this event, target and code.
async fn reason(
    failure: &ReplayFailure,
    record: &Record,
    archive: &impl ArchiveReader,
    prefix: &str,
) -> Option<ArchivedReason> {
    let (event_type, id) = (Some(failure.event_type.as_str()), failure.event_id());
    let key = object_key(event_type, &failure.code, id, record.first_seen?);
    let exact = format!("{prefix}{key}");
    let common = exact.strip_suffix(".json").unwrap_or(&exact);
    // Without the permission to list, only the first object is read.
    let listed = archive.page(common, None).await.unwrap_or_default().objects;
    let mut keys: Vec<String> =
        listed.into_iter().take(MAX_OBJECTS).map(|object| object.key).collect();
    if keys.is_empty() {
        keys.push(exact);
    }
    let mut newest: Option<ArchivedReason> = None;
    for key in keys {
        let Ok(Some((content, _))) = archive.get(&key, MAX_OBJECT_BYTES).await else {
            continue;
        };
        let document = Document::read(&content).ok().filter(|it| it.target == failure.target);
        if let Some(document) = document.filter(|it| !it.failure_reason.is_empty()) {
            let archived_at = document.archived_at();
            if newest.as_ref().is_none_or(|newest| newest.archived_at <= archived_at) {
                newest = Some(ArchivedReason { text: document.failure_reason, archived_at });
            }
        }
    }
    newest
}
