//! The archive's side of the comparison.

use std::collections::{HashMap, HashSet};

use futures_util::{TryStreamExt, future};
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;

use super::{ReconcileFinding, ReconcileScope, Reconciliation};
use crate::archive::{ArchiveReader, ArchivedObject, DISCARDED, MAX_OBJECT_BYTES, objects};
use crate::ledger::{Record, event_at_target};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;

const MAX_CONCURRENT_DOWNLOADS: usize = 16;

/// The objects of the archive, and the statuses of their events in the ledger as far as the ledger was read.
#[derive(Default)]
pub(super) struct ArchivedEvents {
    pub(super) objects: Vec<EventObject>,
    /// By the keys of the objects.
    items: HashMap<String, Vec<Option<Status>>>,
    /// By the event as the object has it. A ledger key has the whole URL, and a token in its query may have changed.
    events: HashMap<String, Vec<Option<Status>>>,
}

pub(super) struct EventObject {
    pub(super) name: String,
    /// The event's key as the function would make it, and as it is in the object: for people, without a query.
    pub(super) keys: [String; 2],
    /// False if the function archives such a message without a claim.
    has_item: bool,
    archived_at: Option<Timestamp>,
}

impl ArchivedEvents {
    /// Reads all objects below a prefix within the scope.
    pub(super) async fn read<A: ArchiveReader>(
        archive: &A,
        prefix: &str,
        scope: &ReconcileScope<'_>,
        progress: &dyn Progress,
        sum: &mut Reconciliation,
    ) -> Result<Self, AwsError> {
        let mut archived = Self::default();
        let mut found = objects(archive, prefix)
            .try_filter(|kept| future::ready(scope.since.is_none_or(|since| !kept.is_older(since))))
            .map_ok(|kept| read(archive, kept, scope))
            .try_buffered(MAX_CONCURRENT_DOWNLOADS);
        while let Some(object) = found.try_next().await? {
            progress.advance(1);
            match object {
                Ok(object) => archived.add(object),
                Err(name) => sum.found(ReconcileFinding::ForeignObject, &name),
            }
        }
        Ok(archived)
    }

    fn add(&mut self, object: EventObject) {
        for key in &object.keys {
            self.items.entry(key.clone()).or_default();
        }
        self.events.entry(object.keys[1].clone()).or_default();
        self.objects.push(object);
    }

    /// Adds an item of the ledger. Returns true if its event has an object.
    pub(super) fn has_object_of(&mut self, record: &Record) -> bool {
        if let Some(statuses) = self.items.get_mut(&record.key) {
            statuses.push(record.status);
        }
        let statuses = self.events.get_mut(&record.event_at_target());
        statuses.map(|it| it.push(record.status)).is_some()
    }

    /// Returns the statuses of an object's event in the ledger; empty without an item.
    pub(super) fn statuses(&self, object: &EventObject) -> &[Option<Status>] {
        let [key, event] = &object.keys;
        match self.items[key].as_slice() {
            [] => &self.events[event],
            statuses => statuses,
        }
    }

    /// Returns true if an event has an object.
    pub(super) fn contains(&self, object: &EventObject) -> bool {
        object.keys.iter().any(|key| self.items.contains_key(key))
    }

    /// Counts the objects, after the whole ledger was read. Returns the number of events without an item.
    pub(super) fn settle(
        self,
        discarded: &Self,
        scope: &ReconcileScope<'_>,
        sum: &mut Reconciliation,
    ) -> u64 {
        let copies = discarded.objects.iter().filter_map(|copy| copy.name.strip_prefix(DISCARDED));
        let copies: HashSet<&str> = copies.collect();
        let mut counted = HashSet::new();
        let mut without_item = 0;
        for object in &self.objects {
            sum.objects += 1;
            let [_, event] = &object.keys;
            let is_first = counted.insert(event);
            let of_status = |status| of_status(status, copies.contains(object.name.as_str()));
            let by_key = object.keys.iter().find_map(|key| self.items[key].first());
            let finding = match (by_key, &self.events[event]) {
                (Some(status), _) => of_status(*status),
                (None, _) if !is_first => None,
                (None, statuses) if statuses.is_empty() => {
                    without_item += 1;
                    if let Some(finding) = object.without_item(scope) {
                        sum.found(finding, &object.name);
                    }
                    continue;
                }
                (None, statuses) => statuses.iter().filter_map(|it| of_status(*it)).max(),
            };
            sum.duplicate += u64::from(finding.is_some() || !is_first);
            if let Some(finding) = finding {
                sum.found(finding, &object.name);
            }
        }
        without_item
    }
}

impl EventObject {
    /// Returns true if the ledger item may have expired.
    pub(super) fn is_forgotten(&self, scope: &ReconcileScope<'_>) -> bool {
        self.archived_at.is_some_and(|at| scope.now.since(at) >= scope.remembered)
    }

    /// Returns the finding about an object whose event has no item; `None` if that is by design.
    fn without_item(&self, scope: &ReconcileScope<'_>) -> Option<ReconcileFinding> {
        if !self.has_item {
            None
        } else if self.is_forgotten(scope) {
            Some(ReconcileFinding::ObjectOutlivesItem)
        } else {
            Some(ReconcileFinding::ObjectWithoutItem)
        }
    }
}

/// Returns the finding about an object whose event has this status. `has_copy` is true if the folder of discarded events
/// has a copy of the object.
const fn of_status(status: Option<Status>, has_copy: bool) -> Option<ReconcileFinding> {
    match status {
        Some(Status::Completed) => Some(ReconcileFinding::ArchivedThenDelivered),
        Some(Status::InProgress | Status::Deferred | Status::Failed) => {
            Some(ReconcileFinding::ObjectOfOpen)
        }
        Some(Status::Discarded) if has_copy => Some(ReconcileFinding::InterruptedDiscard),
        Some(Status::Discarded) => Some(ReconcileFinding::ObjectOfDiscarded),
        Some(Status::Archived) | None => None,
    }
}

/// Reads an object. Returns the name of a foreign object.
async fn read<A: ArchiveReader>(
    archive: &A,
    kept: ArchivedObject,
    scope: &ReconcileScope<'_>,
) -> Result<Result<EventObject, String>, AwsError> {
    if kept.size > MAX_OBJECT_BYTES {
        return Ok(Err(kept.key));
    }
    // An object that was deleted after it was listed counts as foreign. The next run reports the real state.
    let content = archive.get(&kept.key, MAX_OBJECT_BYTES).await?;
    let document = content.and_then(|(content, _)| Document::read(&content).ok());
    let message = document.and_then(|document| Some((document.message()?, document)));
    let Some((message, document)) = message else {
        return Ok(Err(kept.key));
    };
    let key = ClassifiedMessage::of(&message, scope.target).key;
    let is_kept_without_item = document.code().is_some_and(FailureCode::is_without_claim);
    Ok(Ok(EventObject {
        name: kept.key,
        keys: [key.as_str().to_owned(), event_at_target(&document.event_id, &document.target)],
        has_item: !is_kept_without_item,
        archived_at: document.archived_at(),
    }))
}
