//! The archive's side of the comparison.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use genesys_replay::archive::Document;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;

use super::{Finding, Fingerprint, Reconciliation, Scope, fingerprint};
use crate::archive::{ArchiveReader, ArchivedObject};
use crate::ledger::{LedgerReader, Record};
use crate::operator::Progress;
use crate::operator::classified_message::ClassifiedMessage;

/// The maximum length of an object, in bytes: the largest SQS message with each character escaped, and some room.
const MAX_OBJECT_BYTES: u64 = 8 * 1024 * 1024;

/// The maximum number of concurrent downloads.
const MAX_CONCURRENT_DOWNLOADS: usize = 16;

/// The number of objects that are read before their items are looked up, which limits the memory.
const OBJECTS_PER_STEP: usize = 50;

/// The maximum number of object names that are kept for each finding, for events whose item was not found.
const MAX_NAMES: usize = 10_000;

/// The content of the archive, once all of it was read.
#[derive(Default)]
pub(super) struct Archived {
    /// The events with an object, by id and target for people. A ledger key has the whole URL, and a token in its query
    /// may have changed since.
    events: HashMap<Fingerprint, Item>,
    /// The names of the first objects whose item was not found, by the finding if the ledger has no item either.
    names: BTreeMap<Option<Finding>, Vec<(Fingerprint, String)>>,
}

/// The ledger item of an archived event.
#[derive(Clone, Copy)]
enum Item {
    /// The item was found by its key.
    Found,
    /// The item was not found by its key. The value is the finding if the ledger has no item; `None` if that is by
    /// design.
    Sought(Option<Finding>),
}

/// An archived event whose item was found later in the ledger, and the finding about its object, if any.
pub(super) type TurnedUp = (Fingerprint, Option<Finding>);

/// The facts about an object.
struct Object {
    name: String,
    /// The event's key as the function would make it, and as it is in the object: for people, without a query.
    keys: [String; 2],
    has_item: bool,
    archived_at: Option<Timestamp>,
}

impl Archived {
    pub(super) async fn read<A: ArchiveReader, L: LedgerReader>(
        &mut self,
        archive: &A,
        ledger: &L,
        scope: &Scope<'_>,
        progress: &dyn Progress,
        sum: &mut Reconciliation,
    ) -> Result<(), AwsError> {
        let mut from = None;
        loop {
            let page = archive.page(scope.prefix, from.as_deref()).await?;
            for chunk in page.objects.chunks(OBJECTS_PER_STEP) {
                let reads = chunk.iter().filter(|kept| !is_older(kept, scope));
                let reads = reads.map(|kept| read(archive, kept, scope));
                let objects: Vec<Result<Object, String>> = stream::iter(reads)
                    .buffered(MAX_CONCURRENT_DOWNLOADS)
                    .try_collect()
                    .await?;
                let mut ours = Vec::new();
                for object in objects {
                    match object {
                        Ok(object) => ours.push(object),
                        Err(name) => sum.found(Finding::ForeignObject, &name),
                    }
                }
                self.compare(ours, ledger, scope, sum).await?;
                progress.advance(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn compare<L: LedgerReader>(
        &mut self,
        objects: Vec<Object>,
        ledger: &L,
        scope: &Scope<'_>,
        sum: &mut Reconciliation,
    ) -> Result<(), AwsError> {
        let wanted = objects.iter().filter(|object| object.has_item);
        let keys: Vec<&str> = wanted
            .flat_map(|it| it.keys.iter().map(String::as_str))
            .collect();
        let records = ledger.find(&keys).await?.into_iter();
        let statuses: HashMap<String, Option<Status>> =
            records.map(|record| (record.key, record.status)).collect();
        for object in &objects {
            sum.objects += 1;
            let event = fingerprint(&object.keys[1]);
            let mut statuses = object.keys.iter().filter_map(|key| statuses.get(key));
            let Some(status) = statuses.next() else {
                self.has_no_item(object, event, scope, sum);
                continue;
            };
            let is_first = !self.events.contains_key(&event);
            self.events.entry(event).or_insert(Item::Found);
            match of_status(*status) {
                Some(finding) => {
                    sum.duplicate += 1;
                    sum.found(finding, &object.name);
                }
                None => sum.duplicate += u64::from(!is_first),
            }
        }
        Ok(())
    }

    fn has_no_item(
        &mut self,
        object: &Object,
        event: Fingerprint,
        scope: &Scope<'_>,
        sum: &mut Reconciliation,
    ) {
        let Entry::Vacant(entry) = self.events.entry(event) else {
            sum.duplicate += 1;
            return;
        };
        let is_forgotten = |at: Timestamp| scope.now.since(at) >= scope.remembered;
        let missing = if !object.has_item {
            None
        } else if object.archived_at.is_some_and(is_forgotten) {
            Some(Finding::ObjectOutlivesItem)
        } else {
            Some(Finding::ObjectWithoutItem)
        };
        entry.insert(Item::Sought(missing));
        let names = self.names.entry(missing).or_default();
        if names.len() < MAX_NAMES {
            names.push((event, object.name.clone()));
        }
    }

    /// Returns true if the event of an item has an object.
    pub(super) fn has(&self, record: &Record) -> bool {
        self.events.contains_key(&event_of(record))
    }

    /// Returns the event of an item that was not found by its key, and the finding about its object.
    pub(super) fn turned_up(&self, record: &Record) -> Option<TurnedUp> {
        let event = event_of(record);
        match self.events.get(&event)? {
            Item::Found => None,
            Item::Sought(_) => Some((event, of_status(record.status))),
        }
    }

    /// Counts the sought items, after the whole ledger was read. Returns the number of events without an item.
    pub(super) fn settle(self, turned_up: Vec<TurnedUp>, sum: &mut Reconciliation) -> u64 {
        let mut items: HashMap<Fingerprint, Option<Finding>> = HashMap::new();
        for (event, finding) in turned_up {
            let known = items.entry(event).or_default();
            *known = finding.max(*known);
        }
        // The finding about an event: of its item, or of the missing item.
        let found = |event: &Fingerprint, missing| items.get(event).copied().unwrap_or(missing);
        let mut without_item = 0;
        for (event, item) in &self.events {
            let Item::Sought(missing) = item else {
                continue;
            };
            match items.get(event) {
                Some(finding) => sum.duplicate += u64::from(finding.is_some()),
                None => without_item += 1,
            }
            if let Some(finding) = found(event, *missing) {
                sum.findings.entry(finding).or_default().count += 1;
            }
        }
        for (missing, names) in self.names {
            for (event, name) in names {
                if let Some(finding) = found(&event, missing) {
                    sum.findings.entry(finding).or_default().show(&name);
                }
            }
        }
        without_item
    }
}

/// Returns the event of an item in the form of an object's event: for people, without a query in its target.
fn event_of(record: &Record) -> Fingerprint {
    if record.target.is_empty() {
        return fingerprint(&record.key);
    }
    fingerprint(&format!("{}|{}", record.event_id(), record.target))
}

/// Returns the finding about an object whose event has this status.
const fn of_status(status: Option<Status>) -> Option<Finding> {
    match status {
        Some(Status::Completed) => Some(Finding::ArchivedThenDelivered),
        Some(Status::InProgress | Status::Deferred | Status::Failed) => Some(Finding::ObjectOfOpen),
        Some(Status::Archived | Status::Discarded) | None => None,
    }
}

/// Returns true if an object's key shows that its event was first seen before the window. The object need not be read
/// then.
fn is_older(kept: &ArchivedObject, scope: &Scope<'_>) -> bool {
    let name = kept.key.strip_suffix(".json").unwrap_or_default();
    let seen = name.rsplit('-').next().unwrap_or_default();
    let since = scope.since.map(Timestamp::compact);
    since.is_some_and(|since| seen.len() == since.len() && seen.ends_with('Z') && *seen < *since)
}

/// Reads an object. Returns the name of a foreign object.
async fn read<A: ArchiveReader>(
    archive: &A,
    kept: &ArchivedObject,
    scope: &Scope<'_>,
) -> Result<Result<Object, String>, AwsError> {
    let foreign = || Err(kept.key.clone());
    if kept.size > MAX_OBJECT_BYTES {
        return Ok(foreign());
    }
    // An object that was deleted after it was listed counts as foreign. The next run reports the real state.
    let Some((content, _)) = archive.get(&kept.key, MAX_OBJECT_BYTES).await? else {
        return Ok(foreign());
    };
    let Ok(document) = Document::read(&content) else {
        return Ok(foreign());
    };
    let Some(message) = document.message() else {
        return Ok(foreign());
    };
    let key = ClassifiedMessage::of(&message, scope.target).key;
    Ok(Ok(Object {
        name: kept.key.clone(),
        keys: [
            key.as_str().to_owned(),
            format!("{}|{}", document.event_id, document.target),
        ],
        has_item: !is_kept_without_item(document.code()),
        archived_at: document.archived_at(),
    }))
}

/// Returns true if the function archives such a message without a claim.
fn is_kept_without_item(code: Option<FailureCode>) -> bool {
    matches!(
        code,
        Some(FailureCode::NotAnEvent | FailureCode::NoPayload | FailureCode::PayloadMalformed)
    )
}
