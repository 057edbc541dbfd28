//! The end of retention: SQS deletes a message that has been in its queue for too long, whoever still needs it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use crate::clock::Timestamp;
use crate::failure::FailureCode;
use crate::genesys::RetryStatus;
use crate::ledger::{Claim, Lease, Ledger, Settlement};
use crate::message::Message;
use crate::queue::{Queue, QueueLimits};

use super::giving_up::{Reason, note_missing_mark};
use super::work::{Frame, Marker, Work};
use super::{Outcome, Ports, Replay, Verdict};

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
        frame: Frame<'_>,
        work: Option<&Work<'_>>,
        verdict: Verdict,
    ) -> Verdict {
        let Some(after) = verdict.outcome.after() else {
            return verdict;
        };
        match self.in_time(frame, self.left(message)).await {
            None | Some(Left::Unknown) => verdict,
            Some(Left::AtMost(left)) => verdict.within(after.min(left)),
            Some(Left::LastReceive(expires)) => {
                let archiving = self.archive_expiring(message, frame, work, expires, &verdict);
                let archived = self.in_time(frame, archiving).await.flatten();
                archived.unwrap_or_else(|| {
                    tracing::error!(
                        message_id = %message.id,
                        expires_at = %expires,
                        failure_code = verdict.code().map(FailureCode::as_str),
                        "message expires and is not archived"
                    );
                    Verdict {
                        expiring: true,
                        ..verdict.within(after.min(LAST_DELAY))
                    }
                })
            }
        }
    }

    /// `None`: there was no time for it, or it panicked. The record itself has ended.
    async fn in_time<T>(&self, frame: Frame<'_>, call: impl Future<Output = T>) -> Option<T> {
        let call = AssertUnwindSafe(call).catch_unwind();
        let answer = timeout_at(self.last_words(frame), call).await;
        answer.ok()?.ok()
    }

    /// Archives a message at its last receive; `None` when that did not work.
    async fn archive_expiring(
        &self,
        message: &Message,
        frame: Frame<'_>,
        work: Option<&Work<'_>>,
        expires: Timestamp,
        verdict: &Verdict,
    ) -> Option<Verdict> {
        self.archive.as_ref()?;
        let cause = verdict.code().map_or("", FailureCode::as_str);
        let words = format!(
            "the queue deletes the message at {expires}, and its last receive ended as {cause}: {}",
            verdict.reason.as_deref().unwrap_or("no reason known")
        );
        let reason = Reason {
            code: FailureCode::Exhausted,
            words: &words,
        };
        let archived = match work {
            None => self.keep_message(message, reason).await,
            Some(work) => {
                // Where Genesys Cloud has failed, its mark would take the time of the archive.
                let fails = [
                    FailureCode::OutOfTime,
                    FailureCode::GenesysUnavailable,
                    FailureCode::GenesysRateLimited,
                    FailureCode::GenesysCredentials,
                ];
                let has_time = verdict.code().is_none_or(|code| !fails.contains(&code));
                self.archive_expiring_event(work, frame, reason, has_time)
                    .await?
            }
        };
        (!archived.outcome.comes_back()).then(|| Verdict {
            possible_duplicate: verdict.possible_duplicate,
            disposition: verdict.disposition,
            ..archived.because(&words)
        })
    }

    async fn archive_expiring_event(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        reason: Reason<'_>,
        has_time: bool,
    ) -> Option<Verdict> {
        if self.is_kept_as_malformed(work) {
            return Some(self.keep_malformed(work).await);
        }
        let lease = match self.claim_at_once(work, frame).await {
            Ok(Claim::Acquired(lease)) if work.letter.own_echo => {
                return Some(self.keep_own_echo(work, &lease).await);
            }
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                return self.complete_expiring(&lease).await;
            }
            Ok(Claim::Acquired(lease)) => lease,
            Ok(Claim::AlreadyDone) => return Some(Outcome::Duplicate.into()),
            // Nobody may change the item now. What happens to it later, the message is not there any more.
            Ok(
                Claim::GivenUp(_)
                | Claim::HeldUntil(_)
                | Claim::Delayed { .. }
                | Claim::Delivered(_),
            )
            | Err(_) => {
                let first_seen = work.message.sent_at.unwrap_or_else(|| self.clock.now());
                let entry = self.entry(work, reason, 0, first_seen);
                return Some(self.archive_or_return(&entry).await);
            }
        };
        if lease.is_in_first_round()
            && let Ok(Some(ended)) = self.former_end(work, &lease).await
        {
            return Some(ended);
        }
        // There is no other receive for the mark; the archive comes first where time is short.
        let status = RetryStatus::ExhaustedRetries;
        let marker = Marker::NotLookedFor;
        if has_time
            && let Err(failure) = self
                .mark_in_the_end(work, frame, &lease, marker, status)
                .await
        {
            note_missing_mark(work, &failure);
        }
        Some(Verdict {
            attempt: Some(lease.attempt),
            ..self.close(work, &lease, reason).await
        })
    }

    /// A delivered event is never archived: its retry status is all that is missing.
    async fn complete_expiring(&self, lease: &Lease) -> Option<Verdict> {
        let code = FailureCode::RetryStateNotWritten;
        let settlement = Settlement::Completed(Some(code));
        let now = self.clock.now();
        let settled = self.ledger.settle(lease, settlement, now).await;
        settled.ok()?;
        Some(Verdict {
            attempt: Some(lease.shown_attempt()),
            shortfall: Some(code),
            ..Outcome::Replayed.into()
        })
    }
}
