//! The state of everything: the queue, the workers, the ledger, the target, the archive, the time.

use std::time::Duration;

use genesys_fakes::{Clocks, Life, Status, Violation, Witness};
use genesys_replay::clock::Timestamp;

use crate::item::{Change, Held, Kept};
use crate::scenario::{Messages, Scenario};

/// How long a lease runs, if nothing happens; the unit does not matter.
pub(crate) const LEASE: Duration = Duration::from_millis(1);

/// Later than every lease that is over.
const START: Timestamp = Timestamp::from_millis(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) messages: Vec<Message>,
    /// Those that are at work.
    pub(crate) workers: Vec<Worker>,
    /// A call that nobody waits for any more and that has yet to act.
    pub(crate) late: Option<Sent>,
    pub(crate) item: Option<Kept>,
    pub(crate) witness: Witness,
    pub(crate) now: Timestamp,
    pub(crate) is_archived: bool,
    /// The rounds that were begun after the first.
    pub(crate) rounds: u32,
    /// Whether the message was acknowledged although the ledger could not be told of the delivery.
    pub(crate) let_go: bool,
    pub(crate) left: Left,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) deaths: u8,
    pub(crate) losses: u8,
    pub(crate) early: u8,
    pub(crate) failures: u8,
    pub(crate) days: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) place: Place,
    pub(crate) receives: u8,
    /// Who received it last: only that receipt is sure to delete it.
    pub(crate) receiver: Life,
    /// The acceptance that failed later, by its number, if this is a failure record.
    pub(crate) report: Option<u32>,
}

impl Message {
    pub(crate) const fn waiting(report: Option<u32>) -> Self {
        Self {
            place: Place::Waiting,
            receives: 0,
            receiver: 0,
            report,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Waiting,
    /// Until a lease that now runs is over.
    Away,
    Received,
    Acknowledged,
    Parked,
}

/// One invocation, with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) life: Life,
    pub(crate) message: usize,
    pub(crate) held: Held,
    /// Attempts in this delivery; none when only the bookkeeping is left.
    pub(crate) tries: u8,
    /// Whether the ledger is known to know of the delivery.
    pub(crate) recorded: bool,
    /// Whether it only puts things in order before the deadline.
    pub(crate) is_cut_off: bool,
    pub(crate) call: Call,
    /// Whether the SDK has asked before: so the mark that comes first was written.
    pub(crate) is_repeated: bool,
}

impl Worker {
    fn forget_what_does_not_matter(&mut self) {
        match self.call {
            Call::Claim
            | Call::ClaimForBookkeeping
            | Call::BeginRound
            | Call::Deliver
            | Call::Change(Change::NextAttempt) => {}
            Call::Archive | Call::Change(_) => self.tries = 0,
            Call::Answer(_) => {
                self.held = Held::default();
                self.tries = 0;
                self.recorded = false;
                self.is_cut_off = false;
            }
        }
    }
}

/// What a worker is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Claim,
    /// Claims with a record of an earlier delivery.
    ClaimForBookkeeping,
    BeginRound,
    Deliver,
    Archive,
    Change(Change),
    Answer(Answer),
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Acknowledge,
    /// Acknowledge it: it was delivered, and the ledger could not be told.
    LetGo,
    Back,
    /// Back when the lease of whoever holds the event is over.
    BackLater,
}

/// A call on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sent {
    pub(crate) life: Life,
    pub(crate) message: usize,
    pub(crate) held: Held,
    pub(crate) call: Call,
    pub(crate) at: Timestamp,
    /// Who is told that the event is its own, if it is.
    pub(crate) holder: Life,
}

/// A claim that acts late tells nobody.
const NOBODY: Life = 0;

impl Sent {
    /// The same, acting when nobody waits for it any more.
    pub(crate) const fn late(self) -> Self {
        let holder = NOBODY;
        Self { holder, ..self }
    }

    pub(crate) fn now(world: &World, worker: &Worker) -> Self {
        Self {
            life: worker.life,
            message: worker.message,
            held: worker.held,
            call: worker.call,
            at: world.now,
            holder: worker.life,
        }
    }
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("{0}")]
    Seen(#[from] Violation),
    #[error("it is acknowledged, and it is nowhere: not delivered, not archived")]
    AcknowledgedNowhere,
    #[error("it is acknowledged, and neither ledger nor archive say where it is")]
    AcknowledgedUnfinished,
    #[error("the ledger says COMPLETED, and the target never accepted it")]
    CompletedUndelivered,
    #[error("the ledger says that it was delivered, and the target never accepted it")]
    RecordedUndelivered,
    #[error("the ledger says ARCHIVED, and the archive does not have it")]
    ArchivedNowhere,
    #[error("an item that was COMPLETED is changed")]
    CompletedChanged,
    #[error("the ledger forgets that it was delivered, or as which attempt")]
    DeliveryForgotten,
    #[error(
        "the record of a later failure is acknowledged, and the ledger says that this delivery is COMPLETED"
    )]
    FailureIgnored,
    #[error("a new round begins, and the delivery before it has not failed")]
    RoundWithoutFailure,
    #[error("it is delivered in more rounds than are allowed")]
    TooManyRounds,
    #[error("nothing moves any more, and a message is neither acknowledged nor parked")]
    MessageLeft,
    #[error("nothing moves any more, every message is acknowledged, and the ledger says {0}")]
    LeftUnfinished(Status),
}

impl World {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        Self {
            messages: vec![Message::waiting(None); scenario.messages.count()],
            workers: Vec::new(),
            late: None,
            item: None,
            witness: Witness::of(scenario.clocks),
            now: START,
            is_archived: false,
            rounds: 0,
            let_go: false,
            left: Left {
                deaths: scenario.deaths,
                losses: scenario.losses,
                early: scenario.early,
                failures: scenario.failures,
                days: scenario.days,
            },
        }
    }

    pub(crate) fn is_at_work(&self, life: Life) -> bool {
        self.worker(life).is_some()
    }

    pub(crate) fn worker(&self, life: Life) -> Option<Worker> {
        let mut workers = self.workers.iter();
        workers.find(|worker| worker.life == life).copied()
    }

    /// What a worker has become.
    pub(crate) fn put(&mut self, worker: Worker) {
        let mut workers = self.workers.iter_mut();
        if let Some(it) = workers.find(|it| it.life == worker.life) {
            *it = worker;
        }
    }

    /// The worker's invocation is over.
    pub(crate) fn end(&mut self, life: Life) -> Option<Worker> {
        let index = self.workers.iter().position(|worker| worker.life == life)?;
        self.witness.ended(life);
        Some(self.workers.remove(index))
    }

    /// When the lease ends that now runs, and whose it is.
    pub(crate) fn lease(&self) -> Option<(Life, Timestamp)> {
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

    /// Makes states equal that differ in nothing that could follow from them: so there are fewer.
    pub(crate) fn forget_what_does_not_matter(&mut self, clocks: Clocks) {
        for worker in &mut self.workers {
            worker.forget_what_does_not_matter();
        }
        let no_lease = self.lease().is_none();
        let holds = |worker: &Worker| {
            !matches!(
                worker.call,
                Call::Claim | Call::ClaimForBookkeeping | Call::BeginRound | Call::Answer(_)
            )
        };
        let nobody_holds = match clocks {
            Clocks::Near => !self.workers.iter().any(holds),
            // Somebody may have held it, and the witness remembers until when.
            Clocks::Wild => self.workers.is_empty(),
        };
        if no_lease && nobody_holds && self.late.is_none() {
            self.now = START;
            if let Some(item) = &mut self.item {
                item.lease_until = Timestamp::from_millis(0);
            }
        }
        let lives = |life| self.workers.iter().any(|worker| worker.life == life);
        for message in &mut self.messages {
            if message.place == Place::Away && no_lease {
                message.place = Place::Waiting;
            }
            if !lives(message.receiver) {
                message.receiver = 0;
            }
        }
        let owner = self.item.map(|item| item.owner);
        let is_late = |life| self.late.is_some_and(|late| late.life == life);
        let is_gone = owner.is_some_and(|life| !self.is_at_work(life) && !is_late(life));
        if let Some(item) = self.item.as_mut().filter(|_| is_gone) {
            item.owner = 0;
        }
    }

    /// What holds after every step.
    pub(crate) fn check(&self, before: &Self) -> Result<(), Wrong> {
        let Some(item) = self.item else {
            return Ok(());
        };
        let was = before.item.unwrap_or(item);
        if self.rounds > before.rounds {
            // Nothing is delivered, for now.
            Ok(())
        } else if was.status == Status::Completed && was != item {
            Err(Wrong::CompletedChanged)
        } else if was.delivered.is_some() && was.delivered != item.delivered {
            Err(Wrong::DeliveryForgotten)
        } else if item.status == Status::Completed && !self.is_delivered() {
            Err(Wrong::CompletedUndelivered)
        } else if item.delivered.is_some() && !self.is_delivered() {
            Err(Wrong::RecordedUndelivered)
        } else if item.status == Status::Archived && !self.is_archived {
            Err(Wrong::ArchivedNowhere)
        } else {
            Ok(())
        }
    }

    /// What holds when nothing can happen any more.
    pub(crate) fn check_end(&self, scenario: &Scenario) -> Result<(), Wrong> {
        let is_over = |message: &Message| match message.place {
            Place::Acknowledged | Place::Parked => true,
            Place::Waiting | Place::Away | Place::Received => false,
        };
        if !self.messages.iter().all(is_over) {
            return Err(Wrong::MessageLeft);
        }
        if !self.is_parked() && !self.is_delivered() && !self.is_archived {
            return Err(Wrong::AcknowledgedNowhere);
        }
        match self.item.map(|item| item.status) {
            None | Some(Status::Completed | Status::Archived | Status::Discarded) => Ok(()),
            // The item stays as it is until it expires; a parked message is for people.
            Some(_) if self.let_go || self.is_parked() => Ok(()),
            // A claim that an operator's message allowed acted late: archived it is all the same.
            Some(Status::InProgress)
                if scenario.messages == Messages::SecondSentAgain && self.is_archived =>
            {
                Ok(())
            }
            Some(status @ (Status::InProgress | Status::Deferred | Status::Failed)) => {
                Err(Wrong::LeftUnfinished(status))
            }
        }
    }
}
