//! The state of the model: queue, workers, ledger, target, archive and time.

use std::time::Duration;

use genesys_fakes::{Clocks, Status, Violation, Witness, WorkerId};
use genesys_replay::clock::Timestamp;

use crate::item::{Change, HeldLease, ItemState};
use crate::scenario::{Messages, Scenario};

/// The duration of a lease. The unit does not matter.
pub(crate) const LEASE: Duration = Duration::from_millis(1);

/// The start time, after the end of every expired lease.
const START: Timestamp = Timestamp::from_millis(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModelState {
    pub(crate) messages: Vec<Message>,
    /// The running workers.
    pub(crate) workers: Vec<Worker>,
    /// A call without a waiting worker, whose effect is pending.
    pub(crate) late_call: Option<PendingCall>,
    pub(crate) item: Option<ItemState>,
    pub(crate) witness: Witness,
    pub(crate) now: Timestamp,
    pub(crate) is_archived: bool,
    /// The number of rounds after the first.
    pub(crate) rounds: u32,
    /// The message was acknowledged after a delivery, without a checkpoint or settlement.
    pub(crate) acknowledged_unrecorded: bool,
    pub(crate) remaining: RemainingFaults,
}

/// The faults that are still allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RemainingFaults {
    pub(crate) crashes: u8,
    pub(crate) lost_responses: u8,
    pub(crate) early_redeliveries: u8,
    pub(crate) late_failures: u8,
    pub(crate) days_may_pass: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) place: Place,
    pub(crate) receives: u8,
    /// The last receiver. Only its receipt deletes the message.
    pub(crate) receiver: WorkerId,
    /// The number of the acceptance that failed later, for a failure record.
    pub(crate) report: Option<u32>,
}

impl Message {
    pub(crate) const fn waiting(report: Option<u32>) -> Self {
        Self { place: Place::Waiting, receives: 0, receiver: 0, report }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Waiting,
    /// Hidden until the running lease ends.
    Hidden,
    Received,
    Acknowledged,
    Parked,
}

/// An invocation with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) message: usize,
    pub(crate) held: HeldLease,
    /// The attempts in this delivery. Zero: the event is already delivered.
    pub(crate) attempts_this_delivery: u8,
    /// The worker has read or written the checkpoint.
    pub(crate) recorded: bool,
    /// The worker only cleans up before the deadline.
    pub(crate) is_cut_off: bool,
    pub(crate) call: Call,
    /// The SDK repeats the call, so that the mark before it is written.
    pub(crate) is_repeated: bool,
}

impl Worker {
    fn normalize(&mut self) {
        match self.call {
            Call::Claim
            | Call::ClaimForSettlement
            | Call::BeginRound
            | Call::Deliver
            | Call::Change(Change::NextAttempt) => {}
            Call::Archive | Call::Change(_) => self.attempts_this_delivery = 0,
            Call::Answer(_) => {
                self.held = HeldLease::default();
                self.attempts_this_delivery = 0;
                self.recorded = false;
                self.is_cut_off = false;
            }
        }
    }
}

/// The next call of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Claim,
    /// A claim by a failure record of an earlier delivery.
    ClaimForSettlement,
    BeginRound,
    Deliver,
    Archive,
    Change(Change),
    Answer(Answer),
}

/// The response to the queue about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Acknowledge,
    /// Acknowledge a delivered message without a checkpoint.
    AcknowledgeUnrecorded,
    Return,
    /// Return it after the end of the other worker's lease.
    ReturnAfterLease,
}

/// A call whose effect is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PendingCall {
    pub(crate) worker_id: WorkerId,
    pub(crate) message: usize,
    pub(crate) held: HeldLease,
    pub(crate) call: Call,
    pub(crate) at: Timestamp,
    /// The worker that gets the lease if the claim succeeds.
    pub(crate) holder: WorkerId,
}

/// A late claim has no waiting worker.
const NO_WORKER: WorkerId = 0;

impl PendingCall {
    /// Returns the same call without a waiting worker.
    pub(crate) const fn late_call(self) -> Self {
        let holder = NO_WORKER;
        Self { holder, ..self }
    }

    pub(crate) fn now(state: &ModelState, worker: &Worker) -> Self {
        Self {
            worker_id: worker.id,
            message: worker.message,
            held: worker.held,
            call: worker.call,
            at: state.now,
            holder: worker.id,
        }
    }
}

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvariantError {
    #[error("{0}")]
    Witness(#[from] Violation),
    #[error("a message is acknowledged, and its event is neither delivered nor archived")]
    AcknowledgedWithoutLocation,
    #[error("a message is acknowledged, and neither the ledger nor the archive has a final state")]
    AcknowledgedUnfinished,
    #[error("the item is COMPLETED, and the target has not accepted the event")]
    CompletedUndelivered,
    #[error("the item has a checkpoint, and the target has not accepted the event")]
    RecordedUndelivered,
    #[error("the item is ARCHIVED, and the archive has no object")]
    ArchivedWithoutObject,
    #[error("a COMPLETED item is changed")]
    CompletedChanged,
    #[error("the item loses or changes its checkpoint")]
    DeliveryForgotten,
    #[error("a failure record is acknowledged, and the item has this delivery as COMPLETED")]
    FailureIgnored,
    #[error("a round begins, and the delivery before it has not failed")]
    RoundWithoutFailure,
    #[error("there are more rounds than allowed")]
    TooManyRounds,
    #[error("no step is possible, and a message is neither acknowledged nor parked")]
    MessageNotSettled,
    #[error("no step is possible, every message is acknowledged, and the item is {0}")]
    Unfinished(Status),
}

impl ModelState {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        Self {
            messages: vec![Message::waiting(None); scenario.messages.count()],
            workers: Vec::new(),
            late_call: None,
            item: None,
            witness: Witness::of(scenario.clocks),
            now: START,
            is_archived: false,
            rounds: 0,
            acknowledged_unrecorded: false,
            remaining: RemainingFaults {
                crashes: scenario.crashes,
                lost_responses: scenario.lost_responses,
                early_redeliveries: scenario.early_redeliveries,
                late_failures: scenario.late_failures,
                days_may_pass: scenario.days_may_pass,
            },
        }
    }

    pub(crate) fn is_at_work(&self, worker_id: WorkerId) -> bool {
        self.worker(worker_id).is_some()
    }

    pub(crate) fn worker(&self, worker_id: WorkerId) -> Option<Worker> {
        let mut workers = self.workers.iter();
        workers.find(|worker| worker.id == worker_id).copied()
    }

    /// Stores the new state of a worker.
    pub(crate) fn put(&mut self, worker: Worker) {
        let mut workers = self.workers.iter_mut();
        if let Some(it) = workers.find(|it| it.id == worker.id) {
            *it = worker;
        }
    }

    /// Ends a worker's invocation.
    pub(crate) fn end(&mut self, worker_id: WorkerId) -> Option<Worker> {
        let index = self.workers.iter().position(|worker| worker.id == worker_id)?;
        self.witness.ended(worker_id);
        Some(self.workers.remove(index))
    }

    /// Returns the holder and the end of the running lease.
    pub(crate) fn lease(&self) -> Option<(WorkerId, Timestamp)> {
        self.item
            .filter(|item| item.status == Status::InProgress && item.lease_until >= self.now)
            .map(|item| (item.owner, item.lease_until))
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.witness.accepted_times() > 0
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.item.is_some_and(|item| item.delivered.is_some())
    }

    pub(crate) fn has(&self, status: Status) -> bool {
        self.item.is_some_and(|item| item.status == status)
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.any_message(Place::Parked)
    }

    pub(crate) fn any_message(&self, place: Place) -> bool {
        self.messages.iter().any(|message| message.place == place)
    }

    /// Makes states with the same possible futures equal, to reduce their number.
    pub(crate) fn normalize(&mut self, clocks: Clocks) {
        for worker in &mut self.workers {
            worker.normalize();
        }
        let no_lease = self.lease().is_none();
        let holds = |worker: &Worker| {
            !matches!(
                worker.call,
                Call::Claim | Call::ClaimForSettlement | Call::BeginRound | Call::Answer(_)
            )
        };
        let nobody_holds = match clocks {
            Clocks::Bounded => !self.workers.iter().any(holds),
            // The witness may have the end of a former lease.
            Clocks::Unbounded => self.workers.is_empty(),
        };
        if no_lease && nobody_holds && self.late_call.is_none() {
            self.now = START;
            if let Some(item) = &mut self.item {
                item.lease_until = Timestamp::from_millis(0);
            }
        }
        let lives = |worker_id| self.workers.iter().any(|worker| worker.id == worker_id);
        for message in &mut self.messages {
            if message.place == Place::Hidden && no_lease {
                message.place = Place::Waiting;
            }
            if !lives(message.receiver) {
                message.receiver = 0;
            }
        }
        let owner = self.item.map(|item| item.owner);
        let is_late =
            |worker_id| self.late_call.is_some_and(|late_call| late_call.worker_id == worker_id);
        let is_gone =
            owner.is_some_and(|worker_id| !self.is_at_work(worker_id) && !is_late(worker_id));
        if let Some(item) = self.item.as_mut().filter(|_| is_gone) {
            item.owner = 0;
        }
    }

    /// Checks the invariants after a step.
    pub(crate) fn check(&self, before: &Self) -> Result<(), InvariantError> {
        let Some(item) = self.item else {
            return Ok(());
        };
        let was = before.item.unwrap_or(item);
        if self.rounds > before.rounds {
            // A new round has no delivery.
            Ok(())
        } else if was.status == Status::Completed && was != item {
            Err(InvariantError::CompletedChanged)
        } else if was.delivered.is_some() && was.delivered != item.delivered {
            Err(InvariantError::DeliveryForgotten)
        } else if item.status == Status::Completed && !self.is_delivered() {
            Err(InvariantError::CompletedUndelivered)
        } else if item.delivered.is_some() && !self.is_delivered() {
            Err(InvariantError::RecordedUndelivered)
        } else if item.status == Status::Archived && !self.is_archived {
            Err(InvariantError::ArchivedWithoutObject)
        } else {
            Ok(())
        }
    }

    /// Checks the invariants of an end.
    pub(crate) fn check_end(&self, scenario: &Scenario) -> Result<(), InvariantError> {
        let is_over = |message: &Message| match message.place {
            Place::Acknowledged | Place::Parked => true,
            Place::Waiting | Place::Hidden | Place::Received => false,
        };
        if !self.messages.iter().all(is_over) {
            return Err(InvariantError::MessageNotSettled);
        }
        if !self.is_parked() && !self.is_delivered() && !self.is_archived {
            return Err(InvariantError::AcknowledgedWithoutLocation);
        }
        match self.item.map(|item| item.status) {
            None | Some(Status::Completed | Status::Archived | Status::Discarded) => Ok(()),
            // The item stays unchanged until it expires. An operator handles a parked message.
            Some(_) if self.acknowledged_unrecorded || self.is_parked() => Ok(()),
            // A late claim by an operator replay reopened the item. The event is archived.
            Some(Status::InProgress)
                if scenario.messages == Messages::SecondSentAgain && self.is_archived =>
            {
                Ok(())
            }
            Some(status @ (Status::InProgress | Status::Deferred | Status::Failed)) => {
                Err(InvariantError::Unfinished(status))
            }
        }
    }
}
