//! The log lines of a batch and its records.

use std::time::Duration;

use tracing::Level;

use super::result::{Counts, RecordReport};
use super::retry_policy::AttemptFailure;
use super::task::RecordTask;
use crate::clock::millis;
use crate::failure::FailureCode;
use crate::queue::VisibilityError;

/// Logs one line per record.
pub fn record_handled(handled: &RecordReport) {
    let result = &handled.result;
    let event = handled.event.as_ref();
    let deferred_ms = result.outcome.retry_delay().map(millis);
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                outcome = result.outcome.as_str(),
                failure_code = result.code().map(|code| code.as_str()),
                category = event.map(|event| event.category),
                disposition = result.disposition.map(|disposition| disposition.as_str()),
                message_id = %handled.message_id,
                event_id = event.and_then(|event| event.event_id.as_deref()),
                interaction_id = event.and_then(|event| event.interaction_id.as_deref()),
                topic = event.and_then(|event| event.event_type.as_deref()),
                attempt = result.attempt,
                receive_count = handled.receive_count,
                target = event.map(|event| event.target.as_str()),
                duration_ms = millis(handled.duration),
                deferred_ms,
                archived_as = result.archived_as.as_deref(),
                possible_duplicate = result.possible_duplicate,
                what_to_do = result.code().map(|code| code.what_to_do()),
                reason = result.reason.as_deref(),
                "dead letter handled"
            )
        };
    }
    if result.is_unrecorded() {
        // The event is delivered, and only this line records the delivery.
        line!(Level::ERROR);
    } else if result.code().is_some_and(|code| code != FailureCode::OwnEcho) {
        line!(Level::WARN);
    } else {
        line!(Level::INFO);
    }
}

/// Logs that a visibility timeout was not changed: the message returns earlier or later than planned.
pub(super) fn visibility_not_changed(error: &VisibilityError) {
    tracing::warn!(
        message_id = %error.message_id,
        %error,
        "visibility timeout not changed"
    );
}

/// Logs that the deadline came before the visibility timeouts were changed.
pub(super) fn visibility_cut_off(messages: usize) {
    tracing::warn!(messages, "visibility timeouts not changed before the deadline");
}

/// Logs one line per batch.
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

/// Logs that an attempt failed and another one follows in the same receive.
pub(super) fn retried(
    task: &RecordTask<'_>,
    failure: &AttemptFailure,
    attempt: u32,
    after: Duration,
) {
    tracing::info!(
        message_id = %task.message.id,
        event_id = task.event_id(),
        failure_code = failure.code.as_str(),
        attempt,
        delay_ms = millis(after),
        reason = failure.reason,
        "attempt failed, retry follows"
    );
}

/// Logs that an event was rejected without its final mark.
pub(super) fn mark_missing(task: &RecordTask<'_>, failure: &AttemptFailure) {
    tracing::warn!(
        message_id = %task.message.id,
        event_id = task.event_id(),
        failure_code = FailureCode::RetryStateNotWritten.as_str(),
        error = failure.reason,
        "event rejected without its final mark"
    );
}
