//! The last receive of a message: SQS deletes it after its retention period and parks it after `maxReceiveCount`
//! receives, even if the event was not replayed.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout_at;

use super::archiving::Rejection;
use super::decision::OldTarget;
use super::invocation::InvocationContext;
use super::marking::Marker;
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay, log};
use crate::clock::Timestamp;
use crate::failure::FailureCode;
use crate::genesys::RetryStatus;
use crate::ledger::{Claim, Lease, Ledger, Settlement};
use crate::message::Message;

/// The time between the last planned receive of a message and its deletion by SQS. That receive may fail, and another
/// one follows in this time.
const EXPIRY_MARGIN: Duration = Duration::from_secs(2 * 3_600);

/// The visibility timeout of a message that is due for the archive but could not be archived.
const LAST_DELAY: Duration = Duration::from_secs(300);

/// The time left for a message in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The visibility timeout may be at most this long.
    AtMost(Duration),
    /// The visibility timeout also has a minimum, because the message was not attempted.
    Between { at_least: Duration, at_most: Duration },
    /// This receive is the last one.
    LastReceive(QueueAction),
    /// Not known, because the message has no usable time of sending.
    Unknown,
}

/// The planned action of the queue on a message that returns to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueueAction {
    /// SQS deletes the message at this time.
    Delete(Timestamp),
    /// SQS moves the message to the parking queue instead of returning it once more.
    Park,
}

impl std::fmt::Display for QueueAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delete(at) => write!(f, "the queue deletes the message at {at}"),
            Self::Park => f.write_str("the queue parks the message after this receive"),
        }
    }
}

impl<P: Ports> Replay<P> {
    async fn left(&self, message: &Message, result: &RecordResult) -> Left {
        let Some(queue_arn) = message.queue_arn.as_deref() else {
            return Left::Unknown;
        };
        let limits = self.queue_limits(queue_arn).await;
        let now = self.clock.now();
        let expires = message.sent_at.map(|sent_at| sent_at.plus(limits.retention));
        // SQS would have deleted a message that is older, so such a time of sending is not its own.
        let expires = expires.filter(|expires| now < *expires);
        let left = expires.map(|expires| expires.since(now).saturating_sub(EXPIRY_MARGIN));
        match (left, expires) {
            (Some(left), Some(expires)) if left.is_zero() => {
                Left::LastReceive(QueueAction::Delete(expires))
            }
            // Without an archive, the parking queue is the place for events that are not replayed.
            _ if self.archive.is_some()
                && limits.max_receives.is_some_and(|most| message.receive_count >= most) =>
            {
                Left::LastReceive(QueueAction::Park)
            }
            (Some(left), _) if result.is_events_fault() => Left::AtMost(left),
            (Some(left), _) => {
                let budget = self.policy.receive_budget(message.receive_count, limits.max_receives);
                let (is_brief, unit) = (result.is_brief, self.random.unit());
                let at_least = budget.min_delay(left, limits.retention, is_brief, unit);
                Left::Between { at_least: at_least.min(left), at_most: left }
            }
            (None, _) => Left::Unknown,
        }
    }

    /// Shortens the visibility timeout of a message that SQS is about to delete, so that a last receive happens, and
    /// lengthens that of a message that was not attempted, so that its receives last until then. At the last receive
    /// the message is archived, whatever the cause of its failure.
    pub(super) async fn before_expiry(
        &self,
        message: &Message,
        ctx: InvocationContext<'_>,
        task: Option<&RecordTask<'_>>,
        result: RecordResult,
    ) -> RecordResult {
        let Some(after) = result.outcome.retry_delay() else {
            return result;
        };
        match self.in_time(ctx, self.left(message, &result)).await {
            None | Some(Left::Unknown) => result,
            Some(Left::AtMost(left)) => result.within(after.min(left)),
            Some(Left::Between { at_least, at_most }) => {
                result.within(after.clamp(at_least, at_most))
            }
            Some(Left::LastReceive(action)) => {
                let archiving = self.archive_expiring(message, ctx, task, action, &result);
                let archived = self.in_time(ctx, archiving).await.flatten();
                archived.unwrap_or_else(|| not_archived(message, action, after, result))
            }
        }
    }

    /// Runs a call until the clean-up deadline. Returns `None` if the call timed out or panicked; the record itself
    /// has already ended.
    pub(super) async fn in_time<T>(
        &self,
        ctx: InvocationContext<'_>,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let call = AssertUnwindSafe(call).catch_unwind();
        let answer = timeout_at(self.cleanup_deadline(ctx), call).await;
        answer.ok()?.ok()
    }

    /// Archives a message at its last receive; returns `None` if the message could not be archived.
    async fn archive_expiring(
        &self,
        message: &Message,
        ctx: InvocationContext<'_>,
        task: Option<&RecordTask<'_>>,
        action: QueueAction,
        result: &RecordResult,
    ) -> Option<RecordResult> {
        self.archive.as_ref()?;
        let cause = result.code().map_or("", FailureCode::as_str);
        let why = format!(
            "{action}, and its last receive ended as {cause}: {}",
            result.reason.as_deref().unwrap_or("no reason known")
        );
        let reason = Rejection { code: FailureCode::Exhausted, message: &why };
        let archived = match task {
            None => self.archive_message(message, reason).await,
            Some(task) => {
                // If Genesys Cloud has failed, its mark would use up the time for the archive.
                let fails = [
                    FailureCode::OutOfTime,
                    FailureCode::BreakerOpen,
                    FailureCode::GenesysUnavailable,
                    FailureCode::GenesysRateLimited,
                    FailureCode::GenesysCredentials,
                ];
                let has_time = result.code().is_none_or(|code| !fails.contains(&code));
                self.archive_expiring_event(task, ctx, action, reason, has_time).await?
            }
        };
        (!archived.outcome.returns_to_queue()).then(|| RecordResult {
            possible_duplicate: result.possible_duplicate,
            disposition: result.disposition,
            ..archived.with_reason(&why)
        })
    }

    async fn archive_expiring_event(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        action: QueueAction,
        reason: Rejection<'_>,
        has_time: bool,
    ) -> Option<RecordResult> {
        if self.is_archived_unclaimed(task) {
            return Some(self.archive_malformed(task).await);
        }
        let (former, mut failed) = match self.former_key(task).await {
            Ok(key) => (key.map(|key| task.with_key(key)), None),
            Err(error) => (None, Some(error)),
        };
        let task = former.as_ref().unwrap_or(task);
        let key = match self.at_old_target(task).await {
            Ok(Some((_, OldTarget::Has))) => return Some(Self::old_target_has(task)),
            Ok(Some((key, OldTarget::Unfinished | OldTarget::Held { .. }))) => Some(key),
            Ok(None) => None,
            Err(error) => {
                failed = Some(error);
                None
            }
        };
        let dead_letter = task.dead_letter_for_destination();
        let redirected = task.redirected(key, &dead_letter);
        let task = redirected.as_ref().unwrap_or(task);
        let claim = match failed {
            None => self.claim_at_once(task, ctx).await,
            // Without this answer, a claim could archive an event that was delivered under another key.
            Some(error) => Err(error),
        };
        let lease = match claim {
            Ok(Claim::Acquired(lease)) if task.dead_letter.own_echo => {
                return Some(self.archive_own_echo(task, &lease).await);
            }
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                return self.complete_expiring(&lease).await;
            }
            Ok(Claim::Acquired(lease)) => lease,
            Ok(Claim::AlreadyDone) => return Some(Outcome::Duplicate.into()),
            // The item cannot be changed now.
            Ok(
                Claim::PreviouslyRejected(_)
                | Claim::HeldUntil(_)
                | Claim::Delayed { .. }
                | Claim::Delivered(_),
            )
            | Err(_) => match action {
                // The parking queue keeps the message.
                QueueAction::Park => return None,
                // Archive the message anyway, because SQS deletes it before the next receive.
                QueueAction::Delete(_) => {
                    let first_seen = task.message.sent_at.unwrap_or_else(|| self.clock.now());
                    let entry = self.entry(task, reason, 0, first_seen);
                    return Some(self.archive_or_return(&entry).await);
                }
            },
        };
        // The mark cannot wait for another receive. If time is short, the archive is written without a mark.
        let status = RetryStatus::ExhaustedRetries;
        let marker = Marker::Pending;
        if has_time
            && let Err(failure) = self.mark_final_status(task, ctx, &lease, marker, status).await
        {
            log::mark_missing(task, &failure);
        }
        Some(RecordResult {
            attempt: Some(lease.attempt),
            ..self.archive_and_settle(task, &lease, reason).await
        })
    }

    /// Completes a delivered event whose final mark is missing; a delivered event is never archived.
    async fn complete_expiring(&self, lease: &Lease) -> Option<RecordResult> {
        let code = FailureCode::RetryStateNotWritten;
        let settlement = Settlement::Completed(Some(code));
        let now = self.clock.now();
        let settled = self.ledger.settle(lease, settlement, now).await;
        settled.ok()?;
        Some(RecordResult {
            attempt: Some(lease.reported_attempt()),
            warning_code: Some(code),
            ..Outcome::Replayed.into()
        })
    }
}

/// Returns the result of a message that could not be archived at its last receive.
fn not_archived(
    message: &Message,
    action: QueueAction,
    after: Duration,
    result: RecordResult,
) -> RecordResult {
    // Soon, because waiting gains nothing.
    let after = after.min(LAST_DELAY);
    match action {
        // The parking queue keeps the message.
        QueueAction::Park => result.within(after),
        QueueAction::Delete(expires) => {
            tracing::error!(
                message_id = %message.id,
                expires_at = %expires,
                failure_code = result.code().map(FailureCode::as_str),
                "message expires and is not archived"
            );
            RecordResult { expiring: true, ..result.within(after) }
        }
    }
}
