//! The end of retention: SQS deletes a message that has been in its queue for too long, whoever still needs it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use super::reject::{Rejection, note_missing_mark};
use super::task::{InteractionLookup, InvocationContext, RecordTask};
use super::{Outcome, Ports, RecordResult, Replay};
use crate::clock::Timestamp;
use crate::failure::FailureCode;
use crate::genesys::RetryStatus;
use crate::ledger::{Claim, Lease, Ledger, Settlement};
use crate::message::Message;
use crate::queue::{Queue, QueueLimits};

/// The last receive of a message is this long before SQS deletes it: a receive may fail, and another follows.
const EXPIRY_MARGIN: Duration = Duration::from_secs(2 * 3_600);

/// SQS's longest retention, for a queue that cannot be read.
const MAX_RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// The visibility timeout of a message that should be archived by now and cannot be.
const LAST_DELAY: Duration = Duration::from_secs(300);

/// A queue that cannot be read is asked again after this time.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The limits of the queues that one execution environment has read.
#[derive(Debug, Default)]
pub struct KnownLimits(Mutex<HashMap<String, Known>>);

#[derive(Clone, Debug)]
struct Known {
    limits: QueueLimits,
    /// When to ask again; `None` for limits that were read.
    ask_again: Option<Timestamp>,
}

/// The time that is left for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Its visibility timeout may be this long.
    AtMost(Duration),
    /// This receive is the last one: SQS deletes the message then.
    LastReceive(Timestamp),
    /// Not known, because the queue does not say when the message was sent.
    Unknown,
}

impl<P: Ports> Replay<P> {
    /// Reads a queue's limits once. A queue that cannot be read is asked again after a minute, and has SQS's
    /// longest retention until then.
    pub(super) async fn queue_limits(&self, queue_arn: &str) -> QueueLimits {
        // One call for all records of a batch.
        let mut known = self.known_limits.0.lock().await;
        if let Some(known) = known.get(queue_arn)
            && known.ask_again.is_none_or(|at| self.clock.now() < at)
        {
            return known.limits.clone();
        }
        let (limits, ask_again) = match self.queue.limits(queue_arn).await {
            Ok(limits) => (limits, None),
            Err(reason) => {
                tracing::warn!(queue_arn, reason, "queue attributes not read");
                let limits = QueueLimits {
                    retention: MAX_RETENTION,
                    max_receives: None,
                    parking_arn: None,
                };
                (limits, Some(self.clock.now().plus(ASK_AGAIN_AFTER)))
            }
        };
        let read = Known {
            limits: limits.clone(),
            ask_again,
        };
        known.insert(queue_arn.to_owned(), read);
        limits
    }

    async fn left(&self, message: &Message) -> Left {
        let (Some(sent_at), Some(queue_arn)) = (message.sent_at, message.queue_arn.as_deref())
        else {
            return Left::Unknown;
        };
        let limits = self.queue_limits(queue_arn).await;
        let now = self.clock.now();
        let expires = sent_at.plus(limits.retention);
        if expires <= now {
            // SQS has deleted such a message: the time it was sent is not its own.
            return Left::Unknown;
        }
        match expires.since(now).checked_sub(EXPIRY_MARGIN) {
            Some(left) if !left.is_zero() => Left::AtMost(left),
            Some(_) | None => Left::LastReceive(expires),
        }
    }

    /// Shortens the visibility timeout of a message that SQS is about to delete, so that a last receive
    /// happens; at that one the message is archived, whatever the cause.
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
        match self.in_time(ctx, self.left(message)).await {
            None | Some(Left::Unknown) => result,
            Some(Left::AtMost(left)) => result.within(after.min(left)),
            Some(Left::LastReceive(expires)) => {
                let archiving = self.archive_expiring(message, ctx, task, expires, &result);
                let archived = self.in_time(ctx, archiving).await.flatten();
                archived.unwrap_or_else(|| {
                    tracing::error!(
                        message_id = %message.id,
                        expires_at = %expires,
                        failure_code = result.code().map(FailureCode::as_str),
                        "message expires and is not archived"
                    );
                    RecordResult {
                        expiring: true,
                        ..result.within(after.min(LAST_DELAY))
                    }
                })
            }
        }
    }

    /// `None`: there was no time for it, or it panicked. The record itself has ended.
    async fn in_time<T>(
        &self,
        ctx: InvocationContext<'_>,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let call = AssertUnwindSafe(call).catch_unwind();
        let answer = timeout_at(self.cleanup_deadline(ctx), call).await;
        answer.ok()?.ok()
    }

    /// Archives a message at its last receive; `None` when that did not work.
    async fn archive_expiring(
        &self,
        message: &Message,
        ctx: InvocationContext<'_>,
        task: Option<&RecordTask<'_>>,
        expires: Timestamp,
        result: &RecordResult,
    ) -> Option<RecordResult> {
        self.archive.as_ref()?;
        let cause = result.code().map_or("", FailureCode::as_str);
        let why = format!(
            "the queue deletes the message at {expires}, and its last receive ended as {cause}: {}",
            result.reason.as_deref().unwrap_or("no reason known")
        );
        let reason = Rejection {
            code: FailureCode::Exhausted,
            message: &why,
        };
        let archived = match task {
            None => self.archive_message(message, reason).await,
            Some(task) => {
                // Where Genesys Cloud has failed, its mark would take the time of the archive.
                let fails = [
                    FailureCode::OutOfTime,
                    FailureCode::GenesysUnavailable,
                    FailureCode::GenesysRateLimited,
                    FailureCode::GenesysCredentials,
                ];
                let has_time = result.code().is_none_or(|code| !fails.contains(&code));
                self.archive_expiring_event(task, ctx, reason, has_time)
                    .await?
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
        reason: Rejection<'_>,
        has_time: bool,
    ) -> Option<RecordResult> {
        if self.is_archived_as_malformed(task) {
            return Some(self.archive_malformed(task).await);
        }
        let lease = match self.claim_at_once(task, ctx).await {
            Ok(Claim::Acquired(lease)) if task.letter.own_echo => {
                return Some(self.archive_own_echo(task, &lease).await);
            }
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                return self.complete_expiring(&lease).await;
            }
            Ok(Claim::Acquired(lease)) => lease,
            Ok(Claim::AlreadyDone) => return Some(Outcome::Duplicate.into()),
            // Nobody may change the item now. What happens to it later, the message is not there any more.
            Ok(
                Claim::PreviouslyRejected(_)
                | Claim::HeldUntil(_)
                | Claim::Delayed { .. }
                | Claim::Delivered(_),
            )
            | Err(_) => {
                let first_seen = task.message.sent_at.unwrap_or_else(|| self.clock.now());
                let entry = self.entry(task, reason, 0, first_seen);
                return Some(self.archive_or_return(&entry).await);
            }
        };
        if lease.is_in_first_round()
            && let Ok(Some(ended)) = self.former_end(task, &lease).await
        {
            return Some(ended);
        }
        // There is no other receive for the mark; the archive comes first where time is short.
        let status = RetryStatus::ExhaustedRetries;
        let marker = InteractionLookup::Pending;
        if has_time
            && let Err(failure) = self
                .mark_final_status(task, ctx, &lease, marker, status)
                .await
        {
            note_missing_mark(task, &failure);
        }
        Some(RecordResult {
            attempt: Some(lease.attempt),
            ..self.archive_and_settle(task, &lease, reason).await
        })
    }

    /// A delivered event is never archived: its retry status is all that is missing.
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
