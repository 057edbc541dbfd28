//! Injected bugs, to check that the simulation finds them.

use genesys_fakes::Flaw;

/// An injected bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Messages are deleted before they are handled.
    AcknowledgeFirst,
    /// Failed messages are acknowledged.
    LostFailures,
    /// A record has no outcome.
    MissingOutcome,
    /// The worker continues without a claim when the ledger is down.
    FailOpen,
    /// The event key contains the message id.
    KeyIsMessageId,
    /// Every attempt has another idempotency key.
    FreshKeyEachTime,
    /// A failed write to the archive counts as stored.
    ArchiveNotAwaited,
    /// An archived event is deferred and not settled.
    ArchivedIsDeferred,
    /// The mark of success is not written.
    SuccessNotMarked,
    /// The mark of a rejected event is not written.
    FailureNotMarked,
    /// Messages of a FIFO group are handled concurrently.
    FifoGroupsIgnored,
    /// An operator replay counts as a redelivery.
    ReplayPlanIgnored,
    /// A failure record of a delivered event is acknowledged as a duplicate.
    LaterFailureIsDuplicate,
    /// A failure right after the acceptance counts as a failure of an earlier delivery.
    FastFailureIsOlder,
    /// The delivery id does not find its event.
    DeliveriesNotIndexed,
    /// Every round has the delivery name of the first one.
    RoundsShareOneName,
    /// Events without an id share one key.
    SharedKey,
    /// The retention of every queue counts as 14 days.
    RetentionIgnored,
    /// A wrong target URL rejects the event.
    ConfigurationArchives,
    /// A refusal of one interaction opens the circuit.
    ObjectOpensCircuit,
    /// A flaw of the ledger.
    Ledger(Flaw),
}

impl Bug {
    /// Returns a part of the violation that this bug has to cause.
    pub(crate) const fn expected_violation(self) -> &'static str {
        match self {
            Self::AcknowledgeFirst | Self::RetentionIgnored => "lost",
            Self::LostFailures => "has no location",
            Self::MissingOutcome => "have no outcome",
            Self::FailOpen => "does not hold it",
            Self::KeyIsMessageId => "gets it accepted again",
            Self::FreshKeyEachTime => "under different keys",
            Self::ArchiveNotAwaited => "acknowledged as archived and has no location",
            Self::ArchivedIsDeferred => "delivered after it was archived and settled",
            Self::SuccessNotMarked => "completed, and the last mark is",
            Self::FailureNotMarked => "archived, and the last mark is",
            Self::FifoGroupsIgnored => "which is before it in its FIFO group",
            Self::ReplayPlanIgnored => "and it had no new attempt",
            Self::LaterFailureIsDuplicate | Self::FastFailureIsOlder | Self::SharedKey => {
                "acknowledged as duplicate and has no location"
            }
            Self::DeliveriesNotIndexed => "the run does not end",
            Self::RoundsShareOneName => "acknowledged as replayed and has no location",
            Self::ConfigurationArchives => "rejected for a wrong URL",
            Self::ObjectOpensCircuit => "deferred because of another interaction",
            Self::Ledger(flaw) => match flaw {
                Flaw::NoFencing | Flaw::ReleaseWithoutOwner => "though another holds it",
                Flaw::NoLease => "whose lease runs",
                Flaw::NoCheckpoint => "gets it accepted again",
                Flaw::RoundsNotCounted => "the run does not end",
                Flaw::AttemptsStartOver | Flaw::ExpiresTooSoon => "as attempt 1, after",
            },
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::AcknowledgeFirst,
            Self::LostFailures,
            Self::MissingOutcome,
            Self::FailOpen,
            Self::KeyIsMessageId,
            Self::FreshKeyEachTime,
            Self::ArchiveNotAwaited,
            Self::ArchivedIsDeferred,
            Self::SuccessNotMarked,
            Self::FailureNotMarked,
            Self::FifoGroupsIgnored,
            Self::ReplayPlanIgnored,
            Self::LaterFailureIsDuplicate,
            Self::FastFailureIsOlder,
            Self::DeliveriesNotIndexed,
            Self::RoundsShareOneName,
            Self::SharedKey,
            Self::RetentionIgnored,
            Self::ConfigurationArchives,
            Self::ObjectOpensCircuit,
        ];
        own.into_iter().chain(Flaw::ALL.into_iter().map(Self::Ledger))
    }
}
