//! The state of a record while it is handled, and the context of its invocation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Deadline;
use super::marking::SkippedMark;
use crate::clock::Timestamp;
use crate::dead_letter::{DeadLetter, EventId};
use crate::destination::Destination;
use crate::failure::{FailureCode, FailureReport};
use crate::genesys::Interaction;
use crate::ledger::{EventKey, Lease};
use crate::message::{Message, TypedAttribute};

/// A record that holds a dead letter.
pub(super) struct RecordTask<'b> {
    pub(super) message: &'b Message,
    pub(super) letter: &'b DeadLetter<'b>,
    pub(super) destination: Destination,
    /// The destination as text for people.
    pub(super) target: String,
    pub(super) key: EventKey,
    /// Read when the record is cut off, to decide the clean-up.
    phase: Mutex<Phase>,
    phase_changed: Notify,
    /// Set if a best-effort mark was skipped, with the reason.
    skipped: Mutex<Option<SkippedMark>>,
}

/// The phase of a record, which decides the clean-up after a cut-off.
pub(super) enum Phase {
    /// A lease is not held, and a delivery has not started.
    Unclaimed,
    /// The lease is held and may be released.
    Claimed(Lease),
    /// The lease is held, and a delivery is under way.
    Delivering(Lease),
    /// The target has accepted the event, and the checkpoint is not confirmed.
    Delivered(Lease),
    /// The target has accepted the event, and the checkpoint is written.
    Checkpointed,
}

impl<'b> RecordTask<'b> {
    pub(super) fn new(
        message: &'b Message,
        letter: &'b DeadLetter<'b>,
        destination: Destination,
        key: EventKey,
    ) -> Self {
        Self {
            message,
            letter,
            target: destination.to_string(),
            destination,
            key,
            phase: Mutex::new(Phase::Unclaimed),
            phase_changed: Notify::new(),
            skipped: Mutex::default(),
        }
    }

    /// Returns the report on an accepted delivery that failed later; `None` if the message is not a failure record.
    pub(super) fn report(&self) -> Option<&FailureReport> {
        self.letter.report.as_ref()
    }

    /// Returns true if the whole message returns to the queue from which SQS moved it.
    pub(super) fn is_whole(&self) -> bool {
        let target = self.letter.failure.target_arn.as_deref();
        self.letter.whole && target == Some(self.destination.key_part())
    }

    /// Returns the payload to deliver, unchanged byte for byte.
    pub(super) fn payload(&self) -> &str {
        if self.is_whole() {
            &self.message.body
        } else {
            &self.letter.payload
        }
    }

    /// Returns the name of the deliveries of a claim, by which the target recognises repetitions.
    pub(super) fn delivery_name(&self, lease: &Lease) -> String {
        // A new failure record after an earlier attempt means that the target accepted that attempt and the answer
        // was lost. The target would drop another delivery under the same name.
        let is_about_ours =
            |report: &&FailureReport| lease.attempt > 1 && report.is_later_than(lease.first_seen);
        let report = self.report().filter(is_about_ours);
        let id = report.and_then(|report| report.delivery_id.as_deref());
        self.key
            .delivery_name(lease.round, self.message.replay_plan(), id)
    }

    /// Returns the message attributes that are delivered with the payload.
    pub(super) fn attributes(&self) -> BTreeMap<&str, TypedAttribute> {
        if self.is_whole() {
            self.message.own_attributes()
        } else {
            BTreeMap::new()
        }
    }

    /// Returns the event's own id, if it has one.
    pub(super) fn event_id(&self) -> Option<&str> {
        self.letter.event_id.as_ref().map(EventId::as_str)
    }

    pub(super) fn skip(&self, skipped: SkippedMark) {
        let mut current = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(skipped);
    }

    pub(super) fn take_skipped_mark(&self) -> Option<SkippedMark> {
        let mut current = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        current.take()
    }

    pub(super) fn set(&self, phase: Phase) -> Phase {
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.phase_changed.notify_one();
        std::mem::replace(&mut *current, phase)
    }

    /// Waits while a checkpoint is under way.
    pub(super) async fn checkpoint_done(&self) {
        while self.is_accepted() {
            self.phase_changed.notified().await;
        }
    }

    fn is_accepted(&self) -> bool {
        let current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*current, Phase::Delivered(_))
    }
}

/// The reason that is reported for a panic.
pub(super) const PANIC_REASON: &str = "a fault in this program; please report it";

/// The cause that stopped a record before it had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The invocation's deadline.
    Deadline,
    /// A shutdown whose grace is over.
    Shutdown,
    /// A panic in the record.
    Panic,
}

impl Interruption {
    pub(super) const fn code(self) -> FailureCode {
        match self {
            Self::Deadline | Self::Shutdown => FailureCode::OutOfTime,
            Self::Panic => FailureCode::Internal,
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Deadline => "cut off just before the deadline",
            Self::Shutdown => "cut off because the process is about to end",
            Self::Panic => PANIC_REASON,
        }
    }
}

/// The result of the clean-up after a cut-off.
pub(super) enum Aborted {
    /// The target has not accepted the event, or the acceptance is recorded.
    NoEffect,
    /// The target may have accepted the event.
    MaybeDelivered,
    /// The target accepted the event, but the ledger could not be updated.
    DeliveredUnrecorded,
}

/// The invocation in which a record is handled.
#[derive(Clone, Copy)]
pub(super) struct InvocationContext<'b> {
    pub(super) request_id: &'b str,
    pub(super) lease_until: Timestamp,
    pub(super) time: Deadline,
}

/// The state of the interaction's lookup.
pub(super) enum InteractionLookup {
    Pending,
    Fetched(Option<Interaction>),
}

impl InteractionLookup {
    pub(super) fn interaction(&self) -> Option<&Interaction> {
        match self {
            Self::Pending => None,
            Self::Fetched(interaction) => interaction.as_ref(),
        }
    }
}
