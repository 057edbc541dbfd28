//! The folder of discarded events in the comparison.

use std::collections::HashSet;

use genesys_replay::ledger::Status;

use super::archived::ArchivedEvents;
use super::{ReconcileFinding, ReconcileScope, Reconciliation};

/// Counts the objects of discarded events, after the whole ledger was read. Returns the number of discarded events without
/// an item: the item expires, and the object stays.
pub(super) fn settle(
    discarded: &ArchivedEvents,
    archived: Option<&ArchivedEvents>,
    scope: &ReconcileScope<'_>,
    sum: &mut Reconciliation,
) -> u64 {
    let mut counted = HashSet::new();
    let mut without_item = 0;
    for object in &discarded.objects {
        sum.discarded_objects += 1;
        let [_, event] = &object.keys;
        let is_first = counted.insert(event);
        let statuses = discarded.statuses(object);
        if statuses.contains(&Some(Status::Discarded)) {
            sum.duplicate += u64::from(!is_first);
            continue;
        }
        // A discard copies an object before it writes the ledger, and a restore writes the ledger before it deletes.
        if archived.is_some_and(|archived| archived.contains(object)) {
            sum.duplicate += 1;
            sum.found(ReconcileFinding::InterruptedDiscard, &object.name);
        } else if statuses.is_empty() {
            without_item += u64::from(is_first);
            sum.duplicate += u64::from(!is_first);
            if !object.is_forgotten(scope) {
                sum.found(ReconcileFinding::DiscardedNotInLedger, &object.name);
            }
        } else {
            sum.duplicate += 1;
            sum.found(ReconcileFinding::DiscardedNotInLedger, &object.name);
        }
    }
    without_item
}
