//! The status of the draining, computed from the facts of Lambda, SQS and `CloudWatch`.

use std::time::Duration;

use genesys_replay::clock::{Timestamp, millis};

use super::pause::{ChangeNote, DrainChange};
use crate::deployment::metrics::{METRICS_WINDOW, MetricPoint, RecentMetrics};
use crate::deployment::source_mapping::MappingState;

/// The requests to Genesys Cloud for a dead letter with an interaction: GET, PATCH `retrying`, PATCH
/// `replay_successful`.
pub const REQUESTS_PER_DEAD_LETTER: u64 = 3;

/// The requests that Genesys Cloud allows in a minute for all users of an OAuth client.
pub const GENESYS_REQUESTS_PER_MINUTE: u64 = 300;

const MINUTE: Duration = Duration::from_secs(60);

/// The facts of the status. `None` is unknown.
#[derive(Clone, Debug)]
pub struct StatusFacts {
    pub now: Timestamp,
    pub mapping: MappingState,
    /// The last recorded change of the draining.
    pub note: Option<ChangeNote>,
    /// The approximate number of messages in the queue, with those in flight and delayed.
    pub backlog: u64,
    pub metrics: Option<RecentMetrics>,
    /// True if every dead letter needs its requests to Genesys Cloud (`RETRY_STATE=required`).
    pub needs_genesys: bool,
}

/// The state of the draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainingState {
    /// The function receives no messages.
    Paused,
    /// The queue has no messages.
    Empty,
    /// The mapping is about to be enabled.
    Starting,
    /// Messages leave the queue, or may leave it: the rate is unknown.
    Draining,
    /// No message has left the queue within [`METRICS_WINDOW`].
    NotDraining,
}

impl DrainingState {
    /// Returns the word for the state in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Empty => "empty",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::NotDraining => "not_draining",
        }
    }
}

/// The records by outcome within [`METRICS_WINDOW`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HandledRecords {
    pub replayed: u64,
    pub duplicates: u64,
    pub archived: u64,
    pub deferred: u64,
    pub returned: u64,
    pub not_attempted: u64,
    /// The messages that left the queue in a minute, since the first batch within the window.
    pub per_minute: f64,
}

/// The circuits of all upstreams. The metric does not distinguish the upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuits {
    /// There are no metrics.
    Unknown,
    /// No circuit opened within [`METRICS_WINDOW`].
    Closed,
    /// Circuits opened so many times, in all environments, the last time in this minute.
    Opened { times: u64, last: Timestamp },
}

/// The status of the draining.
#[derive(Clone, Debug, PartialEq)]
pub struct DrainStatus {
    pub state: DrainingState,
    pub handled: Option<HandledRecords>,
    pub circuits: Circuits,
    /// The time until the backlog is gone at the observed rate.
    pub done_in: Option<Duration>,
    /// The minimum time until the backlog is gone, by the limit of Genesys Cloud.
    pub done_in_by_limit: Option<Duration>,
    pub summary: String,
}

impl DrainStatus {
    pub fn of(facts: &StatusFacts) -> Self {
        let handled = facts.metrics.as_ref().and_then(|it| handled(it, facts.now));
        let circuits = facts.metrics.as_ref().map_or(Circuits::Unknown, circuits);
        let state = state(facts, handled.as_ref());
        let rate = handled.map(|it| it.per_minute).filter(|rate| *rate > 0.0);
        let is_waiting = facts.backlog > 0;
        let mut status = Self {
            state,
            handled,
            circuits,
            done_in: rate.filter(|_| is_waiting).map(|rate| time_for(facts.backlog, rate)),
            done_in_by_limit: (is_waiting && facts.needs_genesys).then(|| {
                let per_minute = GENESYS_REQUESTS_PER_MINUTE / REQUESTS_PER_DEAD_LETTER;
                MINUTE * u32::try_from(facts.backlog.div_ceil(per_minute)).unwrap_or(u32::MAX)
            }),
            summary: String::new(),
        };
        status.summary = status.summary(facts);
        status
    }

    /// Returns true if a person has to act: messages wait without a function that receives them, or a circuit opened.
    pub fn is_finding(&self, backlog: u64) -> bool {
        let is_open = matches!(self.circuits, Circuits::Opened { .. });
        is_open || (self.state == DrainingState::Paused && backlog > 0)
    }

    fn summary(&self, facts: &StatusFacts) -> String {
        let waiting = dead_letters(facts.backlog);
        let minutes = METRICS_WINDOW.as_secs() / 60;
        match self.state {
            DrainingState::Paused => match paused(facts) {
                Some(paused) if facts.backlog > 0 => format!("{paused}; {waiting} waiting"),
                Some(paused) => format!("{paused}; the queue is empty"),
                None => format!(
                    "not draining: the event source mapping is {} without a recorded reason; {waiting} waiting",
                    facts.mapping.as_str()
                ),
            },
            DrainingState::Empty => "empty".to_owned(),
            DrainingState::Starting => {
                format!(
                    "starting: {waiting}, the event source mapping is {}",
                    facts.mapping.as_str()
                )
            }
            DrainingState::Draining => match (self.handled, self.done_in) {
                (Some(HandledRecords { per_minute, .. }), Some(done_in)) => {
                    let rate = rate(per_minute);
                    format!(
                        "draining: {waiting}, about {rate} a minute, done in {}",
                        about(done_in)
                    )
                }
                _ => format!("draining: {waiting}, at an unknown rate"),
            },
            DrainingState::NotDraining => {
                let why = self.obstacle();
                format!("not draining: {why} in the last {minutes} min; {waiting} waiting")
            }
        }
    }
}

impl DrainStatus {
    /// Returns the reason why no message left the queue, as far as the metrics have it.
    fn obstacle(&self) -> String {
        if let Circuits::Opened { times, .. } = self.circuits {
            return format!("circuits opened {times} times");
        }
        let Some(handled) = self.handled else {
            return "the function reported no batch".to_owned();
        };
        match handled.deferred + handled.returned + handled.not_attempted {
            0 => "no message left the queue".to_owned(),
            count => format!(
                "{count} records were deferred, returned or not attempted, and no message left the queue"
            ),
        }
    }
}

fn state(facts: &StatusFacts, handled: Option<&HandledRecords>) -> DrainingState {
    let per_minute = handled.map(|it| it.per_minute);
    match facts.mapping {
        MappingState::Disabled | MappingState::Disabling | MappingState::Deleting => {
            DrainingState::Paused
        }
        MappingState::Creating
        | MappingState::Enabling
        | MappingState::Enabled
        | MappingState::Updating
        | MappingState::Unknown
            if facts.backlog == 0 =>
        {
            DrainingState::Empty
        }
        MappingState::Creating | MappingState::Enabling => DrainingState::Starting,
        MappingState::Enabled | MappingState::Updating | MappingState::Unknown => {
            let is_at_rest = per_minute.is_none_or(|rate| rate <= 0.0);
            if facts.metrics.is_some() && is_at_rest {
                DrainingState::NotDraining
            } else {
                DrainingState::Draining
            }
        }
    }
}

/// Returns the recorded pause in one sentence, if this program made the last change.
fn paused(facts: &StatusFacts) -> Option<String> {
    let note = facts.note.as_ref().filter(|note| note.change == DrainChange::Pause)?;
    Some(format!("paused since {}", described(note)))
}

/// Returns time, author and reason of a change: `2026-11-30T02:41:02Z by marta: CRM outage`.
pub fn described(note: &ChangeNote) -> String {
    let at = note.at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string());
    let by = if note.by.is_empty() { "unknown" } else { &note.by };
    let reason = if note.reason.is_empty() { "no reason given" } else { &note.reason };
    format!("{at} by {by}: {reason}")
}

/// Returns the outcomes; `None` if no batch was reported.
fn handled(metrics: &RecentMetrics, now: Timestamp) -> Option<HandledRecords> {
    let first = metrics.records.iter().find(|point| point.value > 0.0)?;
    let minutes = now.since(first.at).clamp(MINUTE, METRICS_WINDOW).as_secs_f64() / 60.0;
    let left = [&metrics.replayed, &metrics.duplicates, &metrics.archived];
    let left: f64 = left.into_iter().map(|points| sum(points)).sum();
    Some(HandledRecords {
        replayed: count(&metrics.replayed),
        duplicates: count(&metrics.duplicates),
        archived: count(&metrics.archived),
        deferred: count(&metrics.deferred),
        returned: count(&metrics.returned),
        not_attempted: count(&metrics.not_attempted),
        per_minute: left / minutes,
    })
}

fn circuits(metrics: &RecentMetrics) -> Circuits {
    let opened = &metrics.circuits_opened;
    match opened.iter().rev().find(|point| point.value > 0.0) {
        None if opened.is_empty() => Circuits::Unknown,
        None => Circuits::Closed,
        Some(last) => Circuits::Opened { times: count(opened), last: last.at },
    }
}

fn sum(points: &[MetricPoint]) -> f64 {
    points.iter().map(|point| point.value).sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the function writes whole counts, and the cast saturates"
)]
fn count(points: &[MetricPoint]) -> u64 {
    sum(points).round() as u64
}

#[expect(clippy::cast_precision_loss, reason = "the number of messages is approximate")]
fn time_for(backlog: u64, per_minute: f64) -> Duration {
    let minutes = backlog as f64 / per_minute;
    Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX)
}

fn dead_letters(count: u64) -> String {
    format!("{count} dead letter{}", if count == 1 { "" } else { "s" })
}

/// Formats a rate, at least 0.1: `12`, `2`, `0.4`.
pub fn rate(per_minute: f64) -> String {
    let places = usize::from(per_minute < 10.0);
    let text = format!("{:.places$}", per_minute.max(0.1));
    text.trim_end_matches(".0").to_owned()
}

/// Formats a time that is known approximately: `about 29 min`, `about 5 h`, `about 3 d`.
pub fn about(time: Duration) -> String {
    let minutes = millis(time).div_ceil(60_000);
    match minutes {
        0..100 => format!("about {minutes} min"),
        100..2_880 => format!("about {} h", (minutes + 30) / 60),
        _ => format!("about {} d", (minutes + 720) / 1_440),
    }
}

#[cfg(test)]
mod tests;
