//! A record in the making: what it is, how far it has come, and the invocation around it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::dead_letter::{DeadLetter, EventId};
use crate::destination::Destination;
use crate::failure::FailureReport;
use crate::genesys::Interaction;
use crate::ledger::{EventKey, Lease};
use crate::message::{Message, TypedAttribute};

use super::TimeBox;
use super::retry_state::Missed;

/// One record that turned out to be a dead letter.
pub(super) struct Work<'b> {
    pub(super) message: &'b Message,
    pub(super) letter: &'b DeadLetter<'b>,
    pub(super) destination: Destination,
    /// The destination as people may read it.
    pub(super) target: String,
    pub(super) key: EventKey,
    /// Looked at when the record is cut off.
    progress: Mutex<Progress>,
    progressed: Notify,
    /// Why the interaction does not show how the event stands, if that was passed over.
    missed: Mutex<Option<Missed>>,
}

/// How far a record has come, as far as being cut off is concerned.
pub(super) enum Progress {
    /// Nothing is held, nothing is sent.
    Begun,
    /// The event is ours and may be given back.
    Holding(Lease),
    /// The same, with a delivery under way.
    Sending(Lease),
    /// The target has accepted, and the ledger does not know for certain.
    Accepted(Lease),
    /// The target has accepted, and the ledger knows.
    Recorded,
}

impl<'b> Work<'b> {
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
            progress: Mutex::new(Progress::Begun),
            progressed: Notify::new(),
            missed: Mutex::default(),
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

    pub(super) fn miss(&self, missed: Missed) {
        let mut current = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(missed);
    }

    pub(super) fn take_missed(&self) -> Option<Missed> {
        let mut current = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        current.take()
    }

    pub(super) fn set(&self, progress: Progress) -> Progress {
        let mut current = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.progressed.notify_one();
        std::mem::replace(&mut *current, progress)
    }

    /// Waits while a checkpoint is under way.
    pub(super) async fn checkpoint_done(&self) {
        while self.is_accepted() {
            self.progressed.notified().await;
        }
    }

    fn is_accepted(&self) -> bool {
        let current = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*current, Progress::Accepted(_))
    }
}

/// How a record stands that was cut off.
pub(super) enum CutOff {
    /// The target has seen nothing, or all is written down.
    Clean,
    /// The target may have acted.
    Doubtful,
    /// The target has acted, and nothing but this says so.
    Unrecorded,
}

/// The invocation it happens in.
#[derive(Clone, Copy)]
pub(super) struct Frame<'b> {
    pub(super) request_id: &'b str,
    pub(super) lease_until: Timestamp,
    pub(super) time: TimeBox,
}

/// What is known of the interaction.
pub(super) enum Marker {
    NotLookedFor,
    Found(Option<Interaction>),
}

impl Marker {
    pub(super) fn interaction(&self) -> Option<&Interaction> {
        match self {
            Self::NotLookedFor => None,
            Self::Found(interaction) => interaction.as_ref(),
        }
    }
}
