//! Mistakes that somebody could make, to see that the checker finds them.

use genesys_fakes::Flaw;

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Messages are deleted before they are handled.
    AcknowledgeFirst,
    /// What failed is acknowledged with the rest.
    LostFailures,
    /// A record has no outcome.
    ForgottenRecord,
    /// The ledger is down: go on all the same.
    FailOpen,
    /// The event is known by the id of its message.
    KeyIsMessageId,
    /// A repetition cannot be told from the first delivery.
    FreshKeyEachTime,
    /// An archive that does not answer is taken for one that has stored.
    ArchiveNotAwaited,
    /// What was archived is given back instead of being settled.
    ArchivedIsGivenBack,
    /// The mark of success is not written.
    SuccessNotMarked,
    /// The mark of an event that is given up is not written.
    FailureNotMarked,
    /// Messages of a group are handled side by side.
    GroupsIgnored,
    /// What an operator sends again is taken for a redelivery.
    PlanIgnored,
    /// A failure record of a delivered event is acknowledged as a duplicate.
    LaterFailureIsDuplicate,
    /// A target that fails at once counts as one that failed before it was asked.
    FastFailureIsOlder,
    /// The event of a delivery is not found by the delivery's id.
    DeliveriesNotIndexed,
    /// Every round has the name of the first one.
    RoundSwallowed,
    /// Events without an id share one.
    SharedKey,
    /// A queue is taken for one that keeps its messages for 14 days.
    RetentionIgnored,
    /// A wrong address of the target is a refusal of the event.
    ConfigurationArchives,
    /// A refusal about one interaction counts for the circuit.
    ObjectOpensCircuit,
    /// The ledger makes one.
    Ledger(Flaw),
}

impl Bug {
    /// What has to be said of it, whatever else it brings about.
    pub(crate) const fn gives_itself_away_by(self) -> &'static str {
        match self {
            Self::AcknowledgeFirst | Self::RetentionIgnored => "lost",
            Self::LostFailures => "is nowhere",
            Self::ForgottenRecord => "have no outcome",
            Self::FailOpen => "does not hold it",
            Self::KeyIsMessageId => "gets it accepted again",
            Self::FreshKeyEachTime => "under different keys",
            Self::ArchiveNotAwaited => "acknowledged as archived and is nowhere",
            Self::ArchivedIsGivenBack => "archived and settled, and delivered all the same",
            Self::SuccessNotMarked => "completed, and its interaction says",
            Self::FailureNotMarked => "archived, and its interaction says",
            Self::GroupsIgnored => "which its group still waits for",
            Self::PlanIgnored => "and nobody took it up",
            Self::LaterFailureIsDuplicate | Self::FastFailureIsOlder | Self::SharedKey => {
                "acknowledged as duplicate and is nowhere"
            }
            Self::DeliveriesNotIndexed => "it does not end",
            Self::RoundSwallowed => "acknowledged as replayed and is nowhere",
            Self::ConfigurationArchives => "given up for a wrong address",
            Self::ObjectOpensCircuit => "held back because of another interaction",
            Self::Ledger(flaw) => match flaw {
                Flaw::NoFencing | Flaw::ReleaseWithoutOwner => "though another holds it",
                Flaw::NoLease => "whose lease runs",
                Flaw::NoCheckpoint => "gets it accepted again",
                Flaw::RoundsNotCounted => "it does not end",
                Flaw::AttemptsStartOver | Flaw::ForgetsTooSoon => "as attempt 1, after",
            },
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::AcknowledgeFirst,
            Self::LostFailures,
            Self::ForgottenRecord,
            Self::FailOpen,
            Self::KeyIsMessageId,
            Self::FreshKeyEachTime,
            Self::ArchiveNotAwaited,
            Self::ArchivedIsGivenBack,
            Self::SuccessNotMarked,
            Self::FailureNotMarked,
            Self::GroupsIgnored,
            Self::PlanIgnored,
            Self::LaterFailureIsDuplicate,
            Self::FastFailureIsOlder,
            Self::DeliveriesNotIndexed,
            Self::RoundSwallowed,
            Self::SharedKey,
            Self::RetentionIgnored,
            Self::ConfigurationArchives,
            Self::ObjectOpensCircuit,
        ];
        own.into_iter()
            .chain(Flaw::ALL.into_iter().map(Self::Ledger))
    }
}
