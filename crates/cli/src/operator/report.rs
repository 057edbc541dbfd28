//! The health of the replay, counted from the ledger.
//!
//! Only counts are kept, so it takes as much memory for a million items as for ten.

mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future;
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::ledger::Status;

use super::Progress;
use crate::ledger::{LedgerReader, Record};
pub use tally::Tally;

/// What is counted for an item whose status this version does not know.
pub const UNKNOWN: &str = "UNKNOWN";

/// What to count.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// In how many segments the ledger is read at once, from 1.
    pub segments: u32,
    /// Only events that were first seen, or whose work ended, at this moment or later.
    pub since: Option<Timestamp>,
    /// The time now.
    pub now: Timestamp,
}

/// How the events stand that the ledger knows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many items were counted.
    pub total: u64,
    /// How many items were left out as older than asked for.
    pub older: u64,
    /// By status; all that there are, with those that have none.
    pub statuses: BTreeMap<&'static str, u64>,
    /// By the category of the first failure.
    pub categories: Tally,
    /// By failure code; items without one are not in it.
    pub codes: Tally,
    /// By target.
    pub targets: Tally,
    /// By attempts; what is above [`MAX_ATTEMPTS_SHOWN`] is counted there.
    pub attempts: BTreeMap<u32, u64>,
    /// By the number of the delivery: above 1 the target failed after it had accepted the ones before.
    pub rounds: BTreeMap<u32, u64>,
    /// The open event that was first seen first.
    pub oldest_open: Option<Open>,
    /// How many are held under a lease that has ended: their worker died over them.
    pub died_over: u64,
    /// How many events were first seen, by hour and status.
    pub first_seen: BTreeMap<Timestamp, BTreeMap<&'static str, u64>>,
}

/// An event that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its key in the ledger.
    pub key: String,
    /// How it stands.
    pub status: Status,
    /// Since when it is known.
    pub since: Timestamp,
}

/// The last bar of the histogram of attempts holds all that have more.
pub const MAX_ATTEMPTS_SHOWN: u32 = 20;

/// How far the moments of [`Report::first_seen`] are apart.
pub const HOUR: Duration = Duration::from_hours(1);

/// How many hours are told apart: more than the 15 days that an item lives by default. Earlier ones are one.
const MAX_HOURS: usize = 24 * 40;

/// Counts what the ledger knows, all of its segments at once.
///
/// # Errors
/// [`AwsError`], when a part of the ledger cannot be read: half of the figures would be none.
pub async fn report<L: LedgerReader>(
    ledger: &L,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<Report, AwsError> {
    progress.begin("counting events", None);
    let segments = scope.segments.max(1);
    let parts = (0..segments).map(|segment| count(ledger, segment, segments, scope, progress));
    let parts = future::try_join_all(parts).await;
    progress.end();
    let mut report = Report::default();
    for part in parts? {
        report.add(part);
    }
    Ok(report)
}

async fn count<L: LedgerReader>(
    ledger: &L,
    segment: u32,
    segments: u32,
    scope: &Scope,
    progress: &dyn Progress,
) -> Result<Report, AwsError> {
    let mut report = Report::default();
    let mut from = None;
    loop {
        let page = ledger.scan(segment, segments, from.as_deref()).await?;
        progress.advance(u64::try_from(page.records.len()).unwrap_or(u64::MAX));
        for record in &page.records {
            report.count(record, scope);
        }
        from = page.next;
        if from.is_none() {
            return Ok(report);
        }
    }
}

/// Whether something happened to an event at this moment or later; what has no times is never left out.
pub(super) fn is_within(record: &Record, since: Option<Timestamp>) -> bool {
    let latest = record.processed.max(record.first_seen);
    since.is_none_or(|since| latest.is_none_or(|latest| latest >= since))
}

/// Whether it is held under a lease that has ended.
pub(super) fn has_died(record: &Record, now: Timestamp) -> bool {
    record.status == Some(Status::InProgress) && record.lease_until.is_none_or(|until| until < now)
}

impl Report {
    /// COMPLETED of all, in percent; 0 of none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        let completed = self.of(Status::Completed.as_str());
        // Counts of events are far below what a float cannot tell apart.
        let whole = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
        whole(completed) / whole(self.total.max(1)) * 100.0
    }

    /// How many have this status.
    #[must_use]
    pub fn of(&self, status: &str) -> u64 {
        self.statuses.get(status).copied().unwrap_or_default()
    }

    /// Whether a person should look: an event was given up with nowhere to archive it, a worker died over one, or
    /// an item cannot be read.
    #[must_use]
    pub fn has_findings(&self) -> bool {
        self.of(Status::Failed.as_str()) > 0 || self.died_over > 0 || self.of(UNKNOWN) > 0
    }

    fn count(&mut self, record: &Record, scope: &Scope) {
        if !is_within(record, scope.since) {
            self.older += 1;
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
        self.died_over += u64::from(has_died(record, scope.now));
        if let Some(at) = record.first_seen {
            let hour = u64::try_from(HOUR.as_millis()).unwrap_or(1);
            let at = Timestamp::from_millis(at.as_millis() / hour * hour);
            *self.hour(at).entry(status).or_default() += 1;
        }
        if let (Some(status), Some(since)) = (record.status, record.first_seen)
            && !status.is_final()
        {
            let key = record.shown();
            self.open(Open { key, status, since });
        }
    }

    /// The counts of an hour. Forged or very old times must not fill the memory: they fall into the earliest.
    fn hour(&mut self, at: Timestamp) -> &mut BTreeMap<&'static str, u64> {
        let earliest = self.first_seen.keys().next().copied();
        let is_full = self.first_seen.len() >= MAX_HOURS && !self.first_seen.contains_key(&at);
        let at = earliest.filter(|_| is_full).unwrap_or(at);
        self.first_seen.entry(at).or_default()
    }

    fn open(&mut self, open: Open) {
        // The key decides between equals: the answer does not depend on which segment was faster.
        let is_older =
            |known: &Open| (open.since, open.key.as_str()) < (known.since, known.key.as_str());
        if self.oldest_open.as_ref().is_none_or(is_older) {
            self.oldest_open = Some(open);
        }
    }

    fn add(&mut self, part: Self) {
        self.total += part.total;
        self.older += part.older;
        self.died_over += part.died_over;
        for (status, count) in part.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (attempts, count) in part.attempts {
            *self.attempts.entry(attempts).or_default() += count;
        }
        for (round, count) in part.rounds {
            *self.rounds.entry(round).or_default() += count;
        }
        for (at, counts) in part.first_seen {
            let hour = self.hour(at);
            for (status, count) in counts {
                *hour.entry(status).or_default() += count;
            }
        }
        self.categories.add(part.categories);
        self.codes.add(part.codes);
        self.targets.add(part.targets);
        if let Some(open) = part.oldest_open {
            self.open(open);
        }
    }
}
