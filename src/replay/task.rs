//! A record in the making: what it is, how far it has come, and the invocation around it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Deadline;
use super::marking::SkippedMark;
use crate::clock::Timestamp;
use crate::dead_letter::{DeadLetter, EventId};
use crate::destination::Destination;
use crate::failure::FailureReport;
use crate::genesys::Interaction;
use crate::ledger::{EventKey, Lease};
use crate::message::{Message, TypedAttribute};

/// One record that turned out to be a dead letter.
pub(super) struct RecordTask<'b> {
    pub(super) message: &'b Message,
    pub(super) letter: &'b DeadLetter<'b>,
    pub(super) destination: Destination,
    /// The destination as people may read it.
    pub(super) target: String,
    pub(super) key: EventKey,
    /// Looked at when the record is cut off.
    phase: Mutex<Phase>,
    phase_changed: Notify,
    /// Why the interaction does not show how the event stands, if that was passed over.
    skipped: Mutex<Option<SkippedMark>>,
}

/// How far a record has come, as far as being cut off is concerned.
pub(super) enum Phase {
    /// Nothing is held, nothing is sent.
    Unclaimed,
    /// The event is ours and may be given back.
    Claimed(Lease),
    /// The same, with a delivery under way.
    Delivering(Lease),
    /// The target has accepted, and the ledger does not know for certain.
    Delivered(Lease),
    /// The target has accepted, and the ledger knows.
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

    /// What the message says of an accepted delivery that failed later, if it is a failure record.
    pub(super) fn report(&self) -> Option<&FailureReport> {
        self.letter.report.as_ref()
    }

    /// Whether the whole message goes back to the queue from which SQS moved it.
    pub(super) fn is_whole(&self) -> bool {
        let target = self.letter.failure.target_arn.as_deref();
        self.letter.whole && target == Some(self.destination.key_part())
    }

    /// What is delivered, byte for byte.
    pub(super) fn payload(&self) -> &str {
        if self.is_whole() {
            &self.message.body
        } else {
            &self.letter.payload
        }
    }

    /// The name of the deliveries of a claim.
    pub(super) fn delivery_name(&self, lease: &Lease) -> String {
        // After an earlier attempt a new failure record means that the target accepted that attempt, and its
        // answer was lost. Under the same name another delivery would be dropped.
        let is_about_ours =
            |report: &&FailureReport| lease.attempt > 1 && report.is_later_than(lease.first_seen);
        let report = self.report().filter(is_about_ours);
        let id = report.and_then(|report| report.delivery_id.as_deref());
        self.key
            .delivery_name(lease.round, self.message.replay_plan(), id)
    }

    /// The message attributes that are delivered with the payload.
    pub(super) fn attributes(&self) -> BTreeMap<&str, TypedAttribute> {
        if self.is_whole() {
            self.message.own_attributes()
        } else {
            BTreeMap::new()
        }
    }

    /// The event's own id, if it has one.
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

/// How a record stands that was cut off.
pub(super) enum Aborted {
    /// The target has seen nothing, or all is written down.
    NoEffect,
    /// The target may have acted.
    MaybeDelivered,
    /// The target has acted, and nothing but this says so.
    DeliveredUnrecorded,
}

/// The invocation it happens in.
#[derive(Clone, Copy)]
pub(super) struct InvocationContext<'b> {
    pub(super) request_id: &'b str,
    pub(super) lease_until: Timestamp,
    pub(super) time: Deadline,
}

/// What is known of the interaction.
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
