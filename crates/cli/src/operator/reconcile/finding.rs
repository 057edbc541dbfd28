//! The findings of a comparison.

/// Defines the findings with their names in JSON, and their meanings with the remedy. Every finding has both.
macro_rules! findings {
    ($($finding:ident, $name:literal, $meaning:literal;)*) => {
        /// A finding beside the sum. Those that mean that the sum does not add up come first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ReconcileFinding {
            $($finding,)*
        }

        impl ReconcileFinding {
            /// Every finding.
            pub const ALL: &[Self] = &[$(Self::$finding,)*];

            /// Returns the finding's name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$finding => $name,)*
                }
            }

            /// Returns the meaning and the remedy, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$finding => $meaning,)*
                }
            }
        }
    };
}

findings! {
    ArchivedWithoutObject, "archived_without_object",
        "archived in the ledger, but the archive has no object: check for a deletion by hand or by a lifecycle rule";
    ObjectWithoutItem, "object_without_item",
        "archived within the retention of the ledger, but without an item: check whether the table was changed or the item deleted";
    LeaseExpired, "died_over",
        "in progress under a lease that has ended: the next receive of its message claims the event; without a message the event is lost";
    UnfinishedNotQueued, "open_not_queued",
        "more events are open than messages are queued: check whether messages were deleted or expired in their queue";
    DiscardedNotInLedger, "discarded_not_in_ledger",
        "only in the folder of discarded events, but not discarded in the ledger: check whether the item or the object in the archive was deleted";
    UnknownStatus, "unknown_status",
        "the function is newer than this command, or the item was edited by hand";
    Failed, "failed",
        "rejected without an archive: its message is in the queue or the parking queue";
    InterruptedDiscard, "interrupted_discard",
        "in the archive and in the folder of discarded events: resume the interrupted plan with apply --resume";
    ObjectOfDiscarded, "object_of_discarded_event",
        "still in the archive, without a copy in the folder of discarded events, although the event is discarded: discard the event again, or resume the interrupted plan with apply --resume";
    DiscardedWithoutObject, "discarded_without_object",
        "discarded in the ledger, but its object was deleted: restore cannot return the event";
    ObjectOfOpen, "object_of_open_event",
        "archived before, and in progress again or not settled yet";
    ArchivedThenDelivered, "archived_then_delivered",
        "archived before, and delivered later: nothing to do";
    ObjectOutlivesItem, "object_outlives_item",
        "the archive keeps the object longer than the ledger keeps the item: nothing to do";
    ForeignObject, "foreign_object",
        "not an archived dead letter: another object is under the archive's prefix";
}

impl ReconcileFinding {
    /// Returns true if the sum does not add up; false if the finding is only information.
    pub fn is_wrong(self) -> bool {
        self <= Self::UnknownStatus
    }
}

#[cfg(test)]
mod tests {
    use super::ReconcileFinding as Finding;

    #[test]
    fn findings_have_different_names() {
        let names: std::collections::BTreeSet<&str> =
            Finding::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(names.len(), Finding::ALL.len());
        let wrong: Vec<&Finding> = Finding::ALL.iter().filter(|it| it.is_wrong()).collect();
        assert_eq!((wrong.len(), wrong.last()), (6, Some(&&Finding::UnknownStatus)));
    }
}
