//! Mistakes that somebody could make, to see that the checker finds them.

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Messages are deleted before they are handled.
    AcknowledgeFirst,
    /// The ledger is down: go on all the same.
    FailOpen,
    /// The event is known by the id of its message.
    KeyIsMessageId,
    /// A claim ends at once.
    NoLease,
    /// Nobody writes down that the target has accepted.
    NoCheckpoint,
    /// An archive that does not answer is taken for one that has stored.
    ArchiveNotAwaited,
    /// What failed is acknowledged with the rest.
    LostFailures,
}

impl Bug {
    pub(crate) const ALL: [Self; 7] = [
        Self::AcknowledgeFirst,
        Self::FailOpen,
        Self::KeyIsMessageId,
        Self::NoLease,
        Self::NoCheckpoint,
        Self::ArchiveNotAwaited,
        Self::LostFailures,
    ];
}
