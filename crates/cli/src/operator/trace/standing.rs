//! The current place of a traced event, and the operator's next step.

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;

use super::TracedEvent;
use crate::ledger::Record;
use crate::operator::report::has_expired_lease;

/// Sets status, code, current place and next step of an event, from the places in which it was found.
pub(super) fn describe(event: &mut TracedEvent, now: Timestamp) {
    if let Some(item) = &event.found.item {
        event.status = item.status.map(|status| status.as_str().to_owned());
        event.failure_code.clone_from(&item.failure_code);
    }
    let (place, next) = match &event.found.item {
        Some(item) => of_item(event, item, now),
        None => without_item(event),
    };
    (event.now, event.next) = (place, next);
}

fn of_item(event: &TracedEvent, item: &Record, now: Timestamp) -> (String, String) {
    let found = &event.found;
    let nothing = || "nothing to do".to_owned();
    match item.status {
        Some(Status::Completed) => (format!("delivered to {}", item.target), nothing()),
        Some(Status::Archived) => {
            let place = match found.objects.last() {
                Some(address) => format!("archived: {address}"),
                None => "archived, but its object was not found".to_owned(),
            };
            (place, format!("{}{}", advice(event), replay(event, "archive")))
        }
        Some(Status::Discarded) => (
            match found.discarded.last() {
                Some(address) => format!("discarded by an operator: {address}"),
                None => "discarded by an operator".to_owned(),
            },
            format!("nothing to do; to undo: {}", restore(event)),
        ),
        Some(Status::Failed) if found.is_parked => {
            ("in the parking queue".to_owned(), format!("{}{}", advice(event), replay(event, "parking")))
        }
        Some(Status::Failed) => (
            "rejected without an archive; its message returns to the queue until SQS parks it".to_owned(),
            format!("{}{}", advice(event), replay(event, "parking")),
        ),
        Some(Status::InProgress) if !has_expired_lease(item, now) => {
            ("the function is working on it".to_owned(), nothing())
        }
        Some(Status::InProgress | Status::Deferred) if found.is_parked => {
            ("in the parking queue".to_owned(), replay(event, "parking"))
        }
        Some(Status::InProgress | Status::Deferred) if item.delivered => (
            format!("{} has it; only the bookkeeping is open", item.target),
            "nothing to do: the next receive completes it".to_owned(),
        ),
        Some(Status::InProgress | Status::Deferred) if found.is_queued => (
            "in the queue, and ready for the next attempt".to_owned(),
            "if the draining is stopped, start it: genesys-replay status".to_owned(),
        ),
        Some(Status::InProgress | Status::Deferred) => (
            "waits for its next attempt: its message should be in the queue, and cannot be read during its visibility timeout".to_owned(),
            format!("{}the function attempts it again by itself", advice(event)),
        ),
        None => (
            "the ledger item has a status that this version does not support".to_owned(),
            "install the version of the function: genesys-replay doctor".to_owned(),
        ),
    }
}

fn without_item(event: &TracedEvent) -> (String, String) {
    let found = &event.found;
    if found.is_queued {
        let place = "in the queue, and not attempted yet".to_owned();
        (place, "if the draining is stopped, start it: genesys-replay status".to_owned())
    } else if found.is_parked {
        ("in the parking queue, without an attempt".to_owned(), replay(event, "parking"))
    } else if let Some(address) = found.objects.last() {
        let place = format!("archived: {address}; the ledger has no item");
        (place, format!("{}{}", advice(event), replay(event, "archive")))
    } else if let Some(address) = found.discarded.last() {
        let place = format!("discarded by an operator: {address}; the ledger has no item");
        (place, format!("nothing to do; to undo: {}", restore(event)))
    } else {
        let place = "not found any more: its ledger item has expired, or its message was deleted";
        (place.to_owned(), "read the log: genesys-replay trace --logs".to_owned())
    }
}

/// Returns the advice of the failure code, with a separator.
fn advice(event: &TracedEvent) -> String {
    let code = event.failure_code.as_deref().and_then(FailureCode::parse);
    code.map(|code| format!("{}; ", code.what_to_do())).unwrap_or_default()
}

fn restore(event: &TracedEvent) -> String {
    format!("genesys-replay restore --id {} --reason TEXT", event.event_id)
}

fn replay(event: &TracedEvent, from: &str) -> String {
    let from = if from == "archive" { String::new() } else { format!(" --from {from}") };
    format!(
        "genesys-replay plan{from} --id {} --reason TEXT, then genesys-replay apply PLAN --yes",
        event.event_id
    )
}
