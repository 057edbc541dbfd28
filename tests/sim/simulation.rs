//! One run: a queue of dead letters, workers that drain it, and faults that end.

use std::fmt::{self, Display};
use std::iter::Sum;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use genesys_fakes::{
    MemoryGenesys, MemoryLedger, MemoryQueues, MemoryTarget, Redrive, Rules, Status,
};
use genesys_replay::clock::Clock;
use genesys_replay::destination::Destination;
use genesys_replay::genesys::{Interaction, RetryStatus};
use genesys_replay::replay::Outcome;
use tokio::time::Instant;
use url::Url;

use crate::bugs::Bug;
use crate::config::{LateDuplicates, QueueKind, RetryStateMode, SimConfig};
use crate::events::{Kind, SimEvent};
use crate::fault_kinds::{FaultKind, FaultKinds, KINDS};
use crate::faults::{FaultInjector, SimRng, SkewedClock};
use crate::history::History;
use crate::late_failures::{self, FailureReport};
use crate::locations::{EventLocations, SentMessage};
use crate::worker::Worker;

const TARGET: &str = "https://crm.example/events";

/// The retention of ledger items, and the maximum retention of SQS.
const LEDGER_RETENTION: Duration = Duration::from_secs(15 * 24 * 3_600);
const QUEUE_RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The outcomes of a record.
const OUTCOMES: [&str; 6] =
    ["replayed", "duplicate", "archived", "deferred", "returned", "not_attempted"];

/// The statistics of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunStats {
    pub(crate) messages: u64,
    pub(crate) invocations: u64,
    pub(crate) kills: u64,
    /// The number of faults of each kind, in the order of [`FaultKind::ALL`].
    pub(crate) faults: [u64; KINDS],
    /// The number of each outcome, in the order of [`OUTCOMES`].
    pub(crate) outcomes: [u64; OUTCOMES.len()],
    pub(crate) delivered: u64,
    /// Duplicate acceptances.
    pub(crate) repeated: u64,
    pub(crate) archived: u64,
    /// Acceptances of archived events without a settlement: the object stays.
    pub(crate) after_archiving: u64,
    pub(crate) parked: u64,
    pub(crate) operator_replays: u64,
    pub(crate) late_duplicates: u64,
    /// Failure records of accepted deliveries.
    pub(crate) failed_later: u64,
    /// Events that were archived at the end of retention.
    pub(crate) expired: u64,
}

impl AddAssign for RunStats {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.invocations += other.invocations;
        self.kills += other.kills;
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
        for (sum, count) in self.outcomes.iter_mut().zip(other.outcomes) {
            *sum += count;
        }
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.archived += other.archived;
        self.after_archiving += other.after_archiving;
        self.parked += other.parked;
        self.operator_replays += other.operator_replays;
        self.late_duplicates += other.late_duplicates;
        self.failed_later += other.failed_later;
        self.expired += other.expired;
    }
}

impl Sum for RunStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, stats| {
            sum += stats;
            sum
        })
    }
}

impl RunStats {
    /// Returns the number of each situation. Runs without one of them prove little.
    fn situations(&self) -> impl Iterator<Item = (String, u64)> {
        let kinds = FaultKind::ALL.iter().map(|kind| format!("{kind:?}")).zip(self.faults);
        let outcomes = OUTCOMES.map(str::to_owned).into_iter().zip(self.outcomes);
        let others = [
            ("messages", self.messages),
            ("invocations", self.invocations),
            ("kills", self.kills),
            ("delivered", self.delivered),
            ("repeated", self.repeated),
            ("archived", self.archived),
            ("parked", self.parked),
            ("operator replays", self.operator_replays),
            ("late duplicates", self.late_duplicates),
            ("failed later", self.failed_later),
            ("expired", self.expired),
        ];
        let others = others.into_iter().map(|(name, count)| (name.to_owned(), count));
        kinds.chain(outcomes).chain(others)
    }

    /// Returns the situations that never happened.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.situations().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}

impl Display for RunStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.iter().sum();
        write!(f, "{faults} faults, {} after archiving", self.after_archiving)?;
        self.situations().try_for_each(|(name, count)| write!(f, ", {name} {count}"))
    }
}

/// Runs the simulation of a seed.
///
/// # Errors
/// The first violation, with the log of its event.
pub(crate) fn run_seed(seed: u64, bug: Option<Bug>) -> Result<RunStats, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async { Simulation::new(seed, bug)?.run().await })
}

/// The state of a run that its workers share.
pub(crate) struct Simulation {
    pub(crate) rng: SimRng,
    pub(crate) config: SimConfig,
    pub(crate) started: Instant,
    pub(crate) faults: Arc<FaultInjector>,
    pub(crate) genesys: MemoryGenesys,
    pub(crate) target: MemoryTarget,
    pub(crate) locations: Arc<EventLocations>,
    pub(crate) history: Arc<History>,
    pub(crate) bug: Option<Bug>,
    /// The number of invocations, which makes their ids unique.
    pub(crate) invocations: AtomicU64,
    pub(crate) kills: AtomicU64,
    /// The number of each outcome, in the order of [`OUTCOMES`].
    outcomes: [AtomicU64; OUTCOMES.len()],
}

impl Simulation {
    fn new(seed: u64, bug: Option<Bug>) -> Result<Self, String> {
        let rng = SimRng::of(seed);
        // Most bugs need a certain fault, so the search for them has all kinds.
        let fault_kinds = if bug.is_some() { FaultKinds::all() } else { FaultKinds::random(&rng) };
        let config = SimConfig::random(&rng, fault_kinds);
        let started = Instant::now();
        let history = Arc::new(History::new(started, config.clocks));
        history.log(format!("{config:?}"));
        let (queue, parking) = if config.queue_kind == QueueKind::Fifo {
            (
                "arn:aws:sqs:eu-central-1:271828182845:dead-letters.fifo",
                "arn:aws:sqs:eu-central-1:271828182845:parking.fifo",
            )
        } else {
            (
                "arn:aws:sqs:eu-central-1:271828182845:dead-letters",
                "arn:aws:sqs:eu-central-1:271828182845:parking",
            )
        };
        let queues = MemoryQueues::new(Arc::new(SkewedClock::right(started)));
        let redrive = Redrive { to: parking.to_owned(), max_receives: config.max_receives() + 3 };
        queues.create(parking, None);
        queues.create(queue, Some(redrive));
        let rules = Rules::new(LEDGER_RETENTION);
        let rules = match bug {
            Some(Bug::Ledger(flaw)) => rules.flawed(flaw),
            Some(_) | None => rules,
        };
        let url = Url::parse(TARGET).map_err(|error| error.to_string())?;
        let destination = match config.late.report {
            FailureReport::Never => Destination::Http(url),
            FailureReport::OnFailure | FailureReport::OwnQueue => {
                Destination::of_arn(late_failures::FUNCTION)
            }
            FailureReport::Redrive => Destination::of_arn(late_failures::QUEUE),
        };
        if let Some(retention) = config.late.retention {
            queues.keep_for(queue, retention);
        }
        let locations = EventLocations::new(
            queues,
            (queue, parking),
            MemoryLedger::with_rules(rules),
            Arc::clone(&history),
            destination,
        );
        let genesys = MemoryGenesys::default();
        for event in &config.events {
            genesys.put_participants(&event.conversation(), &[("p-1", "customer")]);
            // Some events have two messages.
            let twice = event.has_own_id() && rng.one_in(3);
            for _ in 0..if twice { 2 } else { 1 } {
                let draft = event.draft(config.queue_kind, false);
                locations.post(*event, draft).ok_or("there is no queue")?;
            }
        }
        Ok(Self {
            faults: Arc::new(FaultInjector::new(rng.clone(), &config, started)),
            config,
            started,
            genesys,
            target: locations.target.clone(),
            locations: Arc::new(locations),
            history,
            bug,
            invocations: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            rng,
        })
    }

    async fn run(self) -> Result<RunStats, String> {
        self.drain().await;
        let operator_replays = self.send_operator_replays().await?;
        let late_duplicates = self.send_late_duplicates().await?;
        self.locations.check_end();
        self.check_marks();
        self.check_keys();
        self.history.result()?;
        let sent_messages = self.locations.sent_message();
        let count = |counts: &dyn Fn(&SentMessage) -> bool| {
            sent_messages.iter().filter(|sent_message| counts(sent_message)).count() as u64
        };
        Ok(RunStats {
            messages: sent_messages.len() as u64,
            invocations: self.invocations.load(Ordering::Relaxed),
            kills: self.kills.load(Ordering::Relaxed),
            faults: self.config.fault_kinds.struck(),
            outcomes: std::array::from_fn(|at| self.outcomes[at].load(Ordering::Relaxed)),
            delivered: count(&|sent_message| self.locations.is_delivered(&sent_message.key)),
            repeated: self.history.repeated(),
            archived: count(&|sent_message| self.locations.is_archived(&sent_message.key)),
            after_archiving: self.history.after_archiving(),
            parked: self.locations.queues.inside(self.locations.parking).len() as u64,
            operator_replays,
            late_duplicates,
            failed_later: count(&|sent_message| sent_message.is_record),
            expired: self.locations.expired(),
        })
    }

    pub(crate) fn count_outcome(&self, outcome: Outcome) {
        if let Some(at) = OUTCOMES.iter().position(|name| *name == outcome.as_str()) {
            self.outcomes[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs workers until the queue is empty.
    async fn drain(&self) {
        let workers = (0..self.config.workers).map(|_| Worker::new(self).run());
        join_all(workers).await;
    }

    /// Replays the archived events as an operator, after the faults, and checks that each has a new attempt.
    async fn send_operator_replays(&self) -> Result<u64, String> {
        if !self.config.sends_operator_replays {
            return Ok(0);
        }
        self.wait_until_faults_end().await;
        let mut again: Vec<SimEvent> = Vec::new();
        for sent_message in self.locations.sent_message() {
            let known = again.iter().any(|it| it.number == sent_message.event.number);
            // A delivered event needs no replay.
            let item = self.locations.ledger.item(&sent_message.key);
            let delivered = item.is_some_and(|it| it.delivered.is_some());
            let meant = self.locations.is_archived(&sent_message.key) && !delivered && !known;
            if meant && !matches!(sent_message.event.kind, Kind::Echo | Kind::Text) {
                again.push(sent_message.event);
            }
        }
        let before = self.locations.attempts();
        let mut sent = Vec::new();
        for event in &again {
            let draft = event.draft(self.config.queue_kind, true);
            sent.extend(self.locations.post(*event, draft));
        }
        self.drain().await;
        for sent_message in &sent {
            let before = before.get(&sent_message.key).copied().unwrap_or(0);
            if !self.locations.has_ended_after_operator_replay(sent_message, before) {
                let what = "an operator sent it again, and it had no new attempt";
                self.history.violation_found(Some(sent_message.key.as_str()), &what);
            }
        }
        Ok(sent.len() as u64)
    }

    /// Sends duplicates of all events long after their end. The ledger must still have the finished ones.
    async fn send_late_duplicates(&self) -> Result<u64, String> {
        self.wait_until_faults_end().await;
        match self.config.late_duplicates {
            LateDuplicates::None => return Ok(0),
            LateDuplicates::WithinRetention => {
                // SQS keeps a message for this long after it was sent.
                tokio::time::sleep_until(self.started + QUEUE_RETENTION).await;
                self.locations.ledger.sweep(SkewedClock::right(self.started).now());
            }
            LateDuplicates::AfterExpiry => {
                tokio::time::sleep(LEDGER_RETENTION + Duration::from_secs(24 * 3_600)).await;
            }
        }
        let mut late = 0;
        for event in &self.config.events {
            if event.kind == Kind::Event {
                let draft = event.draft(self.config.queue_kind, false);
                self.locations.post(*event, draft).ok_or("there is no queue")?;
                late += 1;
            }
        }
        self.drain().await;
        Ok(late)
    }

    async fn wait_until_faults_end(&self) {
        tokio::time::sleep_until(self.started + self.config.faults_end_after).await;
    }

    /// Checks that the last mark of an interaction agrees with the status of its event in the ledger.
    fn check_marks(&self) {
        let marks = self.genesys.marks();
        for sent_message in self.locations.sent_message() {
            let conversation = sent_message.event.conversation();
            let of_it = |interaction: &Interaction| match interaction {
                Interaction::Conversation { id, .. } | Interaction::Record { id } => {
                    id.as_str() == conversation
                }
            };
            let last = marks.iter().rfind(|(interaction, _)| of_it(interaction));
            let last = last.map(|(_, mark)| mark.status);
            let key = sent_message.key.as_str();
            let violation_found = |what: String| self.history.violation_found(Some(key), &what);
            let is_marked = match sent_message.event.kind {
                Kind::Event | Kind::WithoutId | Kind::Malformed => {
                    self.config.retry_state_mode != RetryStateMode::Off
                }
                Kind::Audit | Kind::Echo | Kind::Text => false,
            };
            if last.is_some() && !is_marked {
                violation_found(format!("marked {last:?} although it must not be"));
            }
            let Some(item) = self.locations.ledger.item(&sent_message.key) else {
                continue;
            };
            // A former holder may have written the last mark. An event without an id may be another event after an
            // operator replay, or when its failure record comes and its delivery is not indexed.
            if self.config.retry_state_mode != RetryStateMode::Required
                || !is_marked
                || self.history.lease_was_taken_over(key)
                || !sent_message.event.has_own_id()
                    && (self.config.sends_operator_replays
                        || self.locations.late.failed(&sent_message.event.body()) > 0)
            {
                continue;
            }
            let says = match last {
                Some(RetryStatus::ReplaySuccessful) => "success",
                Some(RetryStatus::ReplayFailed | RetryStatus::ExhaustedRetries) => "failure",
                Some(RetryStatus::Retrying) | None => "nothing final",
            };
            match item.status {
                Status::Completed if item.code.is_none() && says != "success" => {
                    violation_found(format!("completed, and the last mark is {says}"));
                }
                // The mark must be there if no call has failed.
                Status::Archived | Status::Failed
                    if !self.locations.is_delivered(&sent_message.key)
                        // The mark of an earlier round stays if no other can be written.
                        && (says == "success" && (self.locations.late.failed(&sent_message.event.body()) == 0 || self.history.is_marked(&conversation))
                            || says != "failure" && self.history.is_marked(&conversation)) =>
                {
                    violation_found(format!("archived, and the last mark is {says}"));
                }
                Status::InProgress
                | Status::Deferred
                | Status::Completed
                | Status::Archived
                | Status::Failed
                | Status::Discarded => {}
            }
        }
    }

    /// Checks that all acceptances of one event have the same idempotency key.
    fn check_keys(&self) {
        let accepted = self.target.accepted();
        for one in &accepted {
            let mut same = accepted.iter().filter(|it| it.payload == one.payload);
            let has_no_id = one.payload.starts_with("{\"interactionId\"");
            if !has_no_id && same.any(|it| it.key != one.key) {
                let what = "accepted twice under different keys";
                self.history.violation_found(Some(&one.key), &what);
            }
        }
    }
}
