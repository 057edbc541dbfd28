//! The events that a plan does not discard or restore.

use genesys_replay::clock::Timestamp;
use genesys_replay::ledger::Status;

use super::Location;
use crate::ledger::Record;

const UNSUPPORTED: &str = "the ledger item has a status that this version does not support";

/// Returns the reason, according to the ledger item, why a plan does not discard an event; `None` if it is discarded.
pub(super) fn not_discarded(
    record: &Record,
    place: &Location,
    open: bool,
    now: Timestamp,
) -> Option<&'static str> {
    if record.delivered {
        return Some("the event was delivered already");
    }
    let is_message = match place {
        Location::Message { .. } => true,
        Location::Object { .. } => false,
    };
    match record.status {
        None => Some(UNSUPPORTED),
        Some(Status::Completed) => Some("the event was delivered already"),
        Some(Status::InProgress) if record.lease_until.is_some_and(|until| until >= now) => {
            Some("the function is working on the event")
        }
        Some(Status::InProgress | Status::Deferred) => (!is_message && !open).then_some(
            "the event is open, so another message should carry it (--open selects it anyway)",
        ),
        // An object of a discarded event follows it, for example after an interrupted run.
        Some(Status::Discarded) => is_message.then_some("an operator discarded the event"),
        Some(Status::Archived | Status::Failed) => None,
    }
}

/// Returns the reason, according to the ledger item, why a plan does not restore an event; `None` if it is restored.
pub(super) const fn not_restored(record: &Record) -> Option<&'static str> {
    match record.status {
        Some(Status::Discarded) => None,
        Some(
            Status::InProgress
            | Status::Deferred
            | Status::Completed
            | Status::Archived
            | Status::Failed,
        ) => Some("the ledger does not have the event as discarded"),
        None => Some(UNSUPPORTED),
    }
}
