//! The phases of a record, and its interruption.

use crate::failure::FailureCode;
use crate::ledger::Lease;

/// The phase of a record at an interruption, which decides the clean-up.
pub(super) enum Phase {
    /// A lease is not held, and a delivery has not started.
    Unclaimed,
    /// The lease is held and may be released.
    Claimed {
        lease: Box<Lease>,
        /// True if the answer to an attempt of this receive was lost.
        lost_answer: bool,
    },
    /// The lease is held, and a delivery is under way.
    Delivering(Box<Lease>),
    /// The target has accepted the event, and the checkpoint is not confirmed.
    Delivered(Box<Lease>),
    /// The target has accepted the event, and the checkpoint is written.
    Checkpointed,
}

impl Phase {
    /// Returns the phase of an event that is claimed and was not delivered in this receive.
    pub(super) fn claimed(lease: &Lease) -> Self {
        Self::Claimed { lease: Box::new(lease.clone()), lost_answer: false }
    }
}

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

/// The reason that is reported for a panic.
pub(super) const PANIC_REASON: &str = "a fault in this program; please report it";

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
            Self::Shutdown => "cut off by the shutdown of the process",
            Self::Panic => PANIC_REASON,
        }
    }
}

/// A record that was stopped in a phase.
pub(super) struct Interrupted {
    pub(super) phase: Phase,
    pub(super) cause: Interruption,
}

/// The result of a step that an interruption may stop.
pub(super) type Step<T> = Result<T, Interrupted>;

impl Interrupted {
    /// Adds that the answer to an earlier attempt of this receive was lost.
    pub(super) fn with_lost_answer(mut self, lost: bool) -> Self {
        if let Phase::Claimed { lost_answer, .. } = &mut self.phase {
            *lost_answer |= lost;
        }
        self
    }
}
