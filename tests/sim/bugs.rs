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
    /// The mark of success is not written.
    SuccessNotMarked,
    /// Messages of a group are handled side by side.
    GroupsIgnored,
    /// What an operator sends again is taken for a redelivery.
    PlanIgnored,
    /// The ledger makes one.
    Ledger(Flaw),
}

impl Bug {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::AcknowledgeFirst,
            Self::LostFailures,
            Self::ForgottenRecord,
            Self::FailOpen,
            Self::KeyIsMessageId,
            Self::FreshKeyEachTime,
            Self::ArchiveNotAwaited,
            Self::SuccessNotMarked,
            Self::GroupsIgnored,
            Self::PlanIgnored,
        ];
        own.into_iter()
            .chain(Flaw::ALL.into_iter().map(Self::Ledger))
    }
}
