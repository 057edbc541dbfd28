//! The health of the replay, counted from the ledger and from the archived events without a ledger item.
//!
//! Memory holds counts, and the keys of the archived events without an item. A million ledger items need as much memory
//! as ten.

mod name_counts;
mod selected;
mod unclaimed;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::{TryStreamExt, future};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::ReplayTarget;
use genesys_replay::ledger::Status;

use super::Progress;
use super::plan::Selection;
use super::remedy::remedy;
use crate::archive::ArchiveReader;
use crate::ledger::{LedgerReader, Record, scan_all};
pub use name_counts::NameCounts;
use unclaimed::UnclaimedEvents;

/// The name under which items with an unsupported status are counted.
pub const UNKNOWN: &str = "UNKNOWN";

/// The scope of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportScope<'a> {
    pub segments: u32,
    /// Only events count that were first seen, or whose work ended, at this time or later.
    pub since: Option<Timestamp>,
    /// Only events count that were first seen before this time.
    pub until: Option<Timestamp>,
    /// The selection of events, without its times.
    pub selection: &'a Selection,
    /// The target of the function's deliveries.
    pub target: &'a ReplayTarget,
    /// The retention of finished ledger items. Archived events without an item count only within this time, because the
    /// delivered events of an earlier time have no item any more.
    pub remember: Duration,
    pub now: Timestamp,
}

/// The counts of the ledger's events.
#[derive(Clone, Debug, Default)]
pub struct LedgerReport {
    pub total: u64,
    /// The number of items that were left out.
    pub older: u64,
    /// The number of items within the time that are not selected.
    pub not_selected: u64,
    /// Counts by status, including [`UNKNOWN`].
    pub statuses: BTreeMap<&'static str, u64>,
    /// Counts by category of the first failure.
    pub categories: NameCounts,
    /// Counts by failure code, for items that have one.
    pub codes: NameCounts,
    pub targets: NameCounts,
    /// Counts by attempts; higher numbers are counted under [`MAX_ATTEMPTS_SHOWN`].
    pub attempts: BTreeMap<u32, u64>,
    /// Counts by round: above 1, the target failed after accepting the earlier deliveries.
    pub rounds: BTreeMap<u32, u64>,
    pub oldest_open: Option<OpenEvent>,
    /// The number of events in progress under a lease that has ended, because their worker died.
    pub lease_expired: u64,
    /// Counts by failure code of archived events without a ledger item; `None` if the archive was not read.
    pub archived_without_item: Option<NameCounts>,
    /// Counts of events by hour of their first-seen time, and by status.
    pub first_seen: BTreeMap<Timestamp, BTreeMap<&'static str, u64>>,
}

/// An event that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEvent {
    pub key: String,
    pub status: Status,
    pub since: Timestamp,
}

/// The last bar of the histogram of attempts, which includes all higher numbers.
pub const MAX_ATTEMPTS_SHOWN: u32 = 20;

/// The distance between the times of [`LedgerReport::first_seen`].
pub const HOUR: Duration = Duration::from_hours(1);

/// The maximum number of separate hours: more than the default retention of 15 days. Earlier hours are counted as one.
const MAX_HOURS: usize = 24 * 40;

/// Counts the ledger's items, all segments concurrently, and the archived events below a prefix without an item.
///
/// If the archive cannot be read, warns and leaves its events out. A condition on the content of events selects only
/// events with an archived object.
///
/// # Errors
/// [`AwsError`] if a part of the ledger cannot be read, because partial figures would mislead, or if the archive cannot be
/// read for a condition on the content.
pub async fn report(
    ledger: &impl LedgerReader,
    archive: Option<(&impl ArchiveReader, &str)>,
    scope: &ReportScope<'_>,
    progress: &dyn Progress,
) -> Result<LedgerReport, AwsError> {
    let mut report = LedgerReport::default();
    let mut unclaimed = None;
    let mut bodies = None;
    if let Some((archive, prefix)) = archive {
        progress.begin("reading archived events", None);
        let remembered = scope.now.minus(scope.remember);
        let since = scope.since.map_or(remembered, |since| since.max(remembered));
        if !scope.selection.body.is_empty() {
            bodies = Some(selected::bodies(archive, prefix, scope, progress).await?);
        }
        let read = UnclaimedEvents::read(archive, prefix, since, scope, progress).await;
        progress.end();
        unclaimed = read
            .map_err(|error| {
                let remedy = remedy(error.kind);
                progress.warn(&format!("counting without the archive: {error}; {remedy}"));
            })
            .ok();
    }
    progress.begin("counting events", None);
    let counted = scan_all(ledger, scope.segments).try_for_each(|record| {
        progress.advance(1);
        if let Some(unclaimed) = &mut unclaimed {
            unclaimed.remove(&record);
        }
        report.count(&record, scope, bodies.as_ref());
        future::ok(())
    });
    let counted = counted.await;
    progress.end();
    counted?;
    report.archived_without_item = unclaimed.map(|unclaimed| unclaimed.counts());
    Ok(report)
}

/// Returns true if an event was first seen, or its work ended, at this time or later. Includes events without times.
pub(super) fn is_within(record: &Record, since: Option<Timestamp>) -> bool {
    let latest = record.processed.max(record.first_seen);
    since.is_none_or(|since| latest.is_none_or(|latest| latest >= since))
}

/// Returns true if the event is in progress under a lease that has ended.
pub(super) fn has_expired_lease(record: &Record, now: Timestamp) -> bool {
    record.status == Some(Status::InProgress) && record.lease_until.is_none_or(|until| until < now)
}

impl LedgerReport {
    /// Returns the number of archived events without a ledger item; 0 if the archive was not read.
    pub fn without_item(&self) -> u64 {
        self.archived_without_item.as_ref().map_or(0, NameCounts::total)
    }

    /// Returns the number of events that [`success_rate`](Self::success_rate) refers to.
    pub fn all(&self) -> u64 {
        self.total + self.without_item()
    }

    /// Returns the share of `COMPLETED` items among the events of the ledger and the archived events without an item, in
    /// percent; 0 without events.
    pub fn success_rate(&self) -> f64 {
        let completed = self.of(Status::Completed.as_str());
        // Counts of events are far below the numbers that a float cannot hold exactly.
        let whole = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
        whole(completed) / whole(self.all().max(1)) * 100.0
    }

    pub fn of(&self, status: &str) -> u64 {
        self.statuses.get(status).copied().unwrap_or_default()
    }

    /// Returns true if an operator should act: an event was rejected without an archive, a worker died, or an item has
    /// an unsupported status.
    pub fn has_findings(&self) -> bool {
        self.of(Status::Failed.as_str()) > 0 || self.lease_expired > 0 || self.of(UNKNOWN) > 0
    }

    fn count(
        &mut self,
        record: &Record,
        scope: &ReportScope<'_>,
        bodies: Option<&HashSet<String>>,
    ) {
        let is_later =
            |until| record.first_seen.or(record.processed).is_some_and(|seen| seen >= until);
        if !is_within(record, scope.since) || scope.until.is_some_and(is_later) {
            self.older += 1;
            return;
        }
        let has_selected_body = bodies.is_none_or(|it| it.contains(&record.event_at_target()));
        if !has_selected_body || !scope.selection.matches_item_of_ledger(record) {
            self.not_selected += 1;
            return;
        }
        let status = record.status.map_or(UNKNOWN, Status::as_str);
        self.total += 1;
        *self.statuses.entry(status).or_default() += 1;
        let category = Some(record.category.as_str()).filter(|it| !it.is_empty());
        self.categories.count(category.unwrap_or(UNKNOWN));
        if let Some(code) = &record.failure_code {
            self.codes.count(code);
        }
        let target = Some(record.target.as_str()).filter(|it| !it.is_empty());
        self.targets.count(target.unwrap_or("unknown"));
        let attempts = record.attempts.min(MAX_ATTEMPTS_SHOWN);
        *self.attempts.entry(attempts).or_default() += 1;
        *self.rounds.entry(record.round).or_default() += 1;
        self.lease_expired += u64::from(has_expired_lease(record, scope.now));
        if let Some(at) = record.first_seen {
            let hour = u64::try_from(HOUR.as_millis()).unwrap_or(1);
            let at = Timestamp::from_millis(at.as_millis() / hour * hour);
            *self.counts_of_hour(at).entry(status).or_default() += 1;
        }
        if let (Some(status), Some(since)) = (record.status, record.first_seen)
            && !status.is_final()
        {
            let key = record.shown();
            // The key decides between equal times, so that the result does not depend on the order of the items.
            let is_older = |known: &OpenEvent| (since, &key) < (known.since, &known.key);
            if self.oldest_open.as_ref().is_none_or(is_older) {
                self.oldest_open = Some(OpenEvent { key, status, since });
            }
        }
    }

    /// Returns the counts of an hour. If there are too many hours, returns the earliest one, so that forged or very old
    /// times do not fill the memory.
    fn counts_of_hour(&mut self, at: Timestamp) -> &mut BTreeMap<&'static str, u64> {
        let earliest = self.first_seen.keys().next().copied();
        let is_full = self.first_seen.len() >= MAX_HOURS && !self.first_seen.contains_key(&at);
        let at = earliest.filter(|_| is_full).unwrap_or(at);
        self.first_seen.entry(at).or_default()
    }
}
