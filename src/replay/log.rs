//! The log lines of a batch and its records.

use std::time::Duration;

use tracing::Level;

use super::outcome::{Counts, Handled};
use crate::clock::millis;
use crate::failure::FailureCode;
use crate::queue::PostponeError;

/// One line a record.
pub fn record_handled(handled: &Handled) {
    let verdict = &handled.verdict;
    let event = handled.event.as_ref();
    let deferred_ms = verdict.outcome.after().map(millis);
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                outcome = verdict.outcome.as_str(),
                failure_code = verdict.code().map(|code| code.as_str()),
                category = event.map(|event| event.category),
                disposition = verdict.disposition.map(|disposition| disposition.as_str()),
                message_id = %handled.message_id,
                event_id = event.and_then(|event| event.event_id.as_deref()),
                interaction_id = event.and_then(|event| event.interaction_id.as_deref()),
                topic = event.and_then(|event| event.event_type.as_deref()),
                attempt = verdict.attempt,
                receive_count = handled.receive_count,
                target = event.map(|event| event.target.as_str()),
                duration_ms = millis(handled.duration),
                deferred_ms,
                archived_as = verdict.archived_as.as_deref(),
                possible_duplicate = verdict.possible_duplicate,
                what_to_do = verdict.code().map(|code| code.what_to_do()),
                reason = verdict.reason.as_deref(),
                "dead letter handled"
            )
        };
    }
    if verdict.is_unrecorded() {
        // Delivered, and nothing but this line says so.
        line!(Level::ERROR);
    } else if verdict
        .code()
        .is_some_and(|code| code != FailureCode::OwnEcho)
    {
        line!(Level::WARN);
    } else {
        line!(Level::INFO);
    }
}

/// A message comes back sooner or later than it should.
pub fn not_postponed(error: &PostponeError) {
    tracing::warn!(
        message_id = %error.message_id,
        %error,
        "message stays away as long as its queue says"
    );
}

/// The deadline came before the queue was told.
pub fn postponing_cut_off(messages: usize) {
    tracing::warn!(
        messages,
        "no time left to postpone, messages stay away as long as their queue says"
    );
}

/// One line a batch.
pub fn batch_handled(records: usize, counts: &Counts, duration: Duration) {
    let unaccounted = counts.unaccounted(records);
    tracing::info!(
        records,
        replayed = counts.replayed,
        duplicates = counts.duplicates,
        archived = counts.archived,
        deferred = counts.deferred,
        returned = counts.returned,
        not_attempted = counts.not_attempted,
        possible_duplicates = counts.possible_duplicates,
        duration_ms = millis(duration),
        "batch handled"
    );
    if unaccounted > 0 {
        tracing::error!(
            unaccounted,
            "outcomes do not add up to the batch: a fault in this program"
        );
    }
}
