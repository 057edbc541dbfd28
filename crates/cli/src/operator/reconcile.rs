//! Checks that every received event is in exactly one known place.
//!
//! The places of an event are its ledger item, its archived object and its message in a queue. The archive is read
//! first, because an event may be archived meanwhile. Memory holds the names and keys of all objects, and the counts.

mod archived;
mod discarded;
mod finding;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{TryStreamExt, future};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;

use self::archived::ArchivedEvents;
pub use self::finding::ReconcileFinding;
use super::Progress;
use super::report::{UNKNOWN, has_expired_lease};
use crate::archive::{ArchiveReader, DISCARDED};
use crate::ledger::{LedgerReader, Record, scan_all};

/// The maximum number of examples of one finding.
pub const MAX_EXAMPLES: usize = 10;

/// The scope of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct ReconcileScope<'a> {
    /// The number of ledger segments that are read concurrently, from 1.
    pub segments: u32,
    /// The earliest first-seen time of the compared events.
    pub since: Option<Timestamp>,
    pub now: Timestamp,
    /// The target of the function's deliveries, which is a part of an event's key.
    pub target: &'a ReplayTarget,
    /// The retention of finished ledger items.
    pub remembered: Duration,
    pub prefix: &'a str,
    /// The approximate number of messages in the queue and in the parking queue.
    pub queued: u64,
    pub parked: u64,
}

/// The number of occurrences of a finding, and the first few by ledger key or object key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingCount {
    pub count: u64,
    pub examples: Vec<String>,
}

/// The sum, and the findings.
#[derive(Clone, Debug, Default)]
pub struct Reconciliation {
    /// Distinct events in the ledger or the archive, plus the approximate number of messages that were not attempted
    /// yet.
    pub received: u64,
    pub replayed: u64,
    /// Objects of events that are counted already: archived twice, or delivered or open after all. Messages that were
    /// acknowledged as duplicates appear only in the function's metric.
    pub duplicate: u64,
    pub archived: u64,
    pub discarded: u64,
    /// Open or failed events, whose messages must be in a queue, plus the approximate number of further messages.
    pub still_queued: u64,
    /// Events that are in none of these places.
    pub unaccounted: u64,
    /// Ledger items by status.
    pub statuses: BTreeMap<&'static str, u64>,
    /// Objects of the archive that are dead letters.
    pub objects: u64,
    /// Objects of discarded events.
    pub discarded_objects: u64,
    pub findings: BTreeMap<ReconcileFinding, FindingCount>,
}

impl Reconciliation {
    /// Returns true if every event is in its place.
    pub fn adds_up(&self) -> bool {
        self.unaccounted == 0 && !self.findings.keys().any(|finding| finding.is_wrong())
    }

    fn found(&mut self, finding: ReconcileFinding, example: &str) {
        let found = self.findings.entry(finding).or_default();
        found.count += 1;
        if found.examples.len() < MAX_EXAMPLES {
            found.examples.push(example.to_owned());
        }
    }

    fn count(&mut self, record: &Record, has: HasObject, scope: &ReconcileScope<'_>) {
        let is_older = |since| record.first_seen.is_some_and(|seen| seen < since);
        if scope.since.is_some_and(is_older) {
            return;
        }
        let status = record.status.map_or(UNKNOWN, Status::as_str);
        *self.statuses.entry(status).or_default() += 1;
        let finding = match record.status {
            None => ReconcileFinding::UnknownStatus,
            Some(Status::Failed) => ReconcileFinding::Failed,
            Some(Status::InProgress) if has_expired_lease(record, scope.now) => {
                ReconcileFinding::LeaseExpired
            }
            Some(Status::Archived) if !has.archived && !has.discarded => {
                // Without a bucket, an echo of our own PATCH has no object. An event that was archived while the
                // archive was read may be missing from the objects that were read.
                let echo = FailureCode::OwnEcho.as_str();
                let is_echo = record.failure_code.as_deref() == Some(echo);
                if is_echo || record.processed.is_some_and(|at| at >= scope.now) {
                    return;
                }
                ReconcileFinding::ArchivedWithoutObject
            }
            Some(Status::Discarded) if !has.archived && !has.discarded => {
                ReconcileFinding::DiscardedWithoutObject
            }
            Some(
                Status::Archived
                | Status::InProgress
                | Status::Deferred
                | Status::Completed
                | Status::Discarded,
            ) => return,
        };
        self.found(finding, &record.shown());
    }

    fn of(&self, status: Status) -> u64 {
        self.statuses.get(status.as_str()).copied().unwrap_or_default()
    }
}

/// The places that have an object of an event. Without an archive, no object is missing.
#[derive(Clone, Copy, Debug)]
struct HasObject {
    archived: bool,
    discarded: bool,
}

/// Compares ledger, archive and queues. Without an archive, that part is skipped.
pub async fn reconcile<L: LedgerReader, A: ArchiveReader>(
    ledger: &L,
    archive: Option<&A>,
    scope: &ReconcileScope<'_>,
    progress: &dyn Progress,
) -> Result<Reconciliation, AwsError> {
    let mut sum = Reconciliation::default();
    let mut archived = None;
    let mut discarded = None;
    if let Some(archive) = archive {
        progress.begin("reading the archive", None);
        let read = read_objects(archive, scope, progress, &mut sum).await;
        progress.end();
        let (in_archive, in_folder) = read?;
        (archived, discarded) = (Some(in_archive), Some(in_folder));
    }
    progress.begin("reading the ledger", None);
    let counted = scan_all(ledger, scope.segments).try_for_each(|record| {
        progress.advance(1);
        let has = |events: &mut Option<ArchivedEvents>| {
            events.as_mut().is_none_or(|events| events.has_object_of(&record))
        };
        let has = HasObject { archived: has(&mut archived), discarded: has(&mut discarded) };
        sum.count(&record, has, scope);
        future::ok(())
    });
    let counted = counted.await;
    progress.end();
    counted?;
    let discarded = discarded.unwrap_or_default();
    let forgotten = discarded::settle(&discarded, archived.as_ref(), scope, &mut sum);
    let without_item = archived.map_or(0, |archived| archived.settle(&discarded, scope, &mut sum));
    let missing = sum.findings.get(&ReconcileFinding::ArchivedWithoutObject);
    let missing = missing.map_or(0, |found| found.count);
    let open = sum.of(Status::Deferred) + sum.of(Status::InProgress) + sum.of(Status::Failed);
    let queued = scope.queued + scope.parked;
    if open > queued {
        let lost =
            format!("{open} open or failed in the ledger, about {queued} messages in the queues");
        let found = sum.findings.entry(ReconcileFinding::UnfinishedNotQueued).or_default();
        found.count = open - queued;
        found.examples.push(lost);
    }
    sum.replayed = sum.of(Status::Completed);
    sum.archived = sum.of(Status::Archived) - missing + without_item;
    sum.discarded = sum.of(Status::Discarded) + forgotten;
    sum.still_queued = queued;
    let unknown = sum.statuses.get(UNKNOWN).copied().unwrap_or_default();
    sum.unaccounted = missing + open.saturating_sub(queued) + unknown;
    sum.received = sum.replayed + sum.archived + sum.discarded + sum.still_queued + sum.unaccounted;
    Ok(sum)
}

/// Reads the objects of the archive, and those of discarded events.
async fn read_objects<A: ArchiveReader>(
    archive: &A,
    scope: &ReconcileScope<'_>,
    progress: &dyn Progress,
    sum: &mut Reconciliation,
) -> Result<(ArchivedEvents, ArchivedEvents), AwsError> {
    // In this order, because a discard moves objects in this direction.
    let archived = ArchivedEvents::read(archive, scope.prefix, scope, progress, sum).await?;
    if scope.prefix.starts_with(DISCARDED) {
        // Nothing is discarded with such an archive.
        return Ok((archived, ArchivedEvents::default()));
    }
    let folder = format!("{DISCARDED}{}", scope.prefix);
    let discarded = ArchivedEvents::read(archive, &folder, scope, progress, sum).await?;
    Ok((archived, discarded))
}
