//! The log of a run and the checks of its invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};

use genesys_fakes::{Clocks, Violation, Witness, WorkerId};
use genesys_replay::clock::Timestamp;
use tokio::time::Instant;

/// Records every step of a run and checks the invariants of each event.
pub(crate) struct History {
    started: Instant,
    clocks: Clocks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    violation: Option<Line>,
    events: BTreeMap<String, Witness>,
    /// Events whose archiving or settlement failed, so that they may be delivered again.
    unsettled: BTreeSet<String>,
    /// Conversations with a failed call to Genesys Cloud.
    unmarked: BTreeSet<String>,
    after_archiving: u64,
}

/// A line of the log.
#[derive(Clone)]
struct Line {
    seconds: f64,
    about: Option<String>,
    text: String,
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:10.3} s  ", self.seconds)?;
        if let Some(key) = &self.about {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl History {
    pub(crate) fn new(started: Instant, clocks: Clocks) -> Self {
        Self { started, clocks, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, about: Option<&str>, text: String) -> Line {
        Line {
            seconds: self.started.elapsed().as_secs_f64(),
            about: about.map(str::to_owned),
            text,
        }
    }

    /// Logs a line about all events.
    pub(crate) fn log(&self, text: String) {
        let line = self.line(None, text);
        self.state().lines.push(line);
    }

    /// Logs a line about one event.
    pub(crate) fn log_event(&self, key: &str, text: String) {
        let line = self.line(Some(key), text);
        self.state().lines.push(line);
    }

    /// Records a violation. The first one is reported.
    pub(crate) fn violation_found(&self, about: Option<&str>, what: &impl Display) {
        let line = self.line(about, format!("VIOLATION: {what}"));
        let mut state = self.state();
        state.lines.push(line.clone());
        state.violation.get_or_insert(line);
    }

    fn witness(&self, key: &str, observe: impl FnOnce(&mut Witness) -> Result<(), Violation>) {
        let mut state = self.state();
        let events = state.events.entry(key.to_owned());
        let result = observe(events.or_insert_with(|| Witness::of(self.clocks)));
        drop(state);
        if let Err(violation) = result {
            self.violation_found(Some(key), &violation);
        }
    }

    fn read_witness<T>(&self, key: &str, read: impl FnOnce(&Witness) -> T) -> Option<T> {
        self.state().events.get(key).map(read)
    }

    /// Records a claim request of a worker whose clock shows `now`.
    pub(crate) fn claiming(&self, key: &str, now: Timestamp) {
        self.witness(key, |it| {
            it.claiming(now);
            Ok(())
        });
    }

    /// Records a successful claim, with the worker's clock and lease.
    pub(crate) fn claimed(
        &self,
        key: &str,
        worker_id: WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
    ) {
        self.log_event(key, format!("worker {worker_id} acquires the lease"));
        self.witness(key, |it| it.claimed(worker_id, now, lease_until));
    }

    /// Records a successful claim whose lease was taken over before the response.
    pub(crate) fn claimed_and_lost(&self, key: &str, worker_id: WorkerId) {
        self.log_event(key, format!("worker {worker_id} acquired a lease that was taken over"));
        self.witness(key, |it| it.claimed_and_lost(worker_id));
    }

    /// Records that the ledger refused a write without the lease.
    pub(crate) fn refused(&self, key: &str, worker_id: WorkerId) {
        self.log_event(key, format!("worker {worker_id} has lost the lease"));
        self.witness(key, |it| it.refused(worker_id));
    }

    /// Returns whether another worker certainly holds the lease.
    pub(crate) fn is_held_by_another(&self, key: &str, worker_id: WorkerId) -> bool {
        self.read_witness(key, |it| it.is_held_by_another(worker_id)).unwrap_or(false)
    }

    /// Records that the ledger accepted a write without the lease.
    pub(crate) fn late_write_accepted(&self, key: &str, worker_id: WorkerId) {
        self.violation_found(Some(key), &Violation::LateWriteAccepted { by: worker_id });
    }

    /// Records that a worker settles or releases an event.
    pub(crate) fn released(&self, key: &str, worker_id: WorkerId, how: &impl Debug) {
        self.log_event(key, format!("worker {worker_id} settles it as {how:?}"));
        self.witness(key, |it| {
            it.released(worker_id);
            Ok(())
        });
    }

    /// Records the begin of a delivery. `recorded`: the ledger has the checkpoint of an earlier one.
    pub(crate) fn delivering(&self, key: &str, worker_id: WorkerId, attempt: u32, recorded: bool) {
        self.log_event(key, format!("worker {worker_id} delivers it, attempt {attempt}"));
        self.witness(key, |it| it.delivering(worker_id, attempt, recorded));
    }

    /// Records an acceptance of the target.
    pub(crate) fn accepted(&self, key: &str, worker_id: WorkerId) {
        self.log_event(key, format!("the target accepts it of worker {worker_id}"));
        self.witness(key, |it| it.accepted(worker_id));
    }

    /// Allows one more delivery, because a response or a checkpoint was lost.
    pub(crate) fn allow_duplicate(&self, key: &str, why: &str) {
        self.log_event(key, why.to_owned());
        self.witness(key, |it| {
            it.allow_duplicate();
            Ok(())
        });
    }

    /// Records the end of a worker or of its invocation.
    pub(crate) fn ended(&self, worker_id: WorkerId, how: &str) {
        self.log(format!("worker {worker_id} {how}"));
        let mut state = self.state();
        state.events.values_mut().for_each(|it| it.ended(worker_id));
    }

    pub(crate) fn accepted_times(&self, key: &str) -> u32 {
        self.read_witness(key, Witness::accepted_times).unwrap_or(0)
    }

    /// Returns whether a lease was taken over from a running worker, whose effects may come at any time.
    pub(crate) fn lease_was_taken_over(&self, key: &str) -> bool {
        self.read_witness(key, Witness::lease_was_taken_over).unwrap_or(false)
    }

    /// Records that an archiving or its settlement failed.
    pub(crate) fn settlement_failed(&self, key: &str) {
        self.state().unsettled.insert(key.to_owned());
    }

    /// Records an acceptance of an archived event without an operator replay.
    pub(crate) fn accepted_after_archiving(&self, key: &str) {
        self.state().after_archiving += 1;
        // The former holder may deliver at any time.
        if self.lease_was_taken_over(key) || self.state().unsettled.contains(key) {
            self.log_event(key, "it is in the archive, too".to_owned());
        } else {
            self.violation_found(Some(key), &"delivered after it was archived and settled");
        }
    }

    /// Records a failed call about a conversation.
    pub(crate) fn mark_failed(&self, conversation: &str) {
        self.state().unmarked.insert(conversation.to_owned());
    }

    /// Returns whether all calls about a conversation succeeded.
    pub(crate) fn is_marked(&self, conversation: &str) -> bool {
        !self.state().unmarked.contains(conversation)
    }

    pub(crate) fn after_archiving(&self) -> u64 {
        self.state().after_archiving
    }

    /// Returns the number of duplicate acceptances.
    pub(crate) fn repeated(&self) -> u64 {
        let state = self.state();
        let times = state.events.values().map(Witness::accepted_times);
        times.map(|times| u64::from(times.saturating_sub(1))).sum()
    }

    /// Returns the first violation with the log of its event.
    pub(crate) fn result(&self) -> Result<(), String> {
        let state = self.state();
        let Some(violation) = &state.violation else {
            return Ok(());
        };
        let concerns = |line: &&Line| {
            violation.about.is_none() || line.about.is_none() || line.about == violation.about
        };
        let lines = state.lines.iter().filter(concerns).map(Line::to_string);
        let lines: Vec<String> = lines.collect();
        Err(format!("{violation}\n{}", lines.join("\n")))
    }
}
