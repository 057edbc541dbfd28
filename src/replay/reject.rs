//! Rejection: archives a dead letter or, without an archive, returns it to the queue.

use super::archiving::Rejection;
use super::invocation::InvocationContext;
use super::marking::Marker;
use super::retry_policy::Upstream;
use super::rounds::FAILED_LATER;
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay, log};
use crate::failure::{Disposition, FailureCode};
use crate::genesys::RetryStatus;
use crate::ledger::Lease;

impl<P: Ports> Replay<P> {
    /// Rejects an event: marks its interaction, archives it, and settles it only after that.
    pub(super) async fn reject(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
        marker: Marker,
        status: RetryStatus,
        reason: Rejection<'_>,
    ) -> RecordResult {
        if let Err(failure) = self.mark_final_status(task, ctx, lease, marker, status).await {
            let worth_another_delivery = match failure.disposition {
                Disposition::Permanent => false,
                // Wrong credentials are ours to repair; a refusal for one interaction may be permanent.
                Disposition::Operator if failure.upstream != Upstream::Interaction => true,
                Disposition::Transient { .. } | Disposition::Operator => {
                    !self.is_last(task, lease).await
                }
            };
            if worth_another_delivery {
                let after = self.delay_after_failure(task.message, &failure);
                self.release(task, lease, failure.code).await;
                let code = failure.code;
                return RecordResult {
                    disposition: Some(failure.disposition),
                    ..RecordResult::from(Outcome::Deferred { after, code })
                        .with_reason(&failure.reason)
                };
            }
            log::mark_missing(task, &failure);
        }
        self.archive_and_settle(task, lease, reason).await
    }

    /// Rejects an event that is too old. Its interaction is marked only if an earlier attempt was made.
    pub(super) async fn reject_stale(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
    ) -> RecordResult {
        let reason = Rejection {
            code: FailureCode::Stale,
            message: "the event is older than STALE_AFTER_SECONDS",
        };
        let result = if lease.attempt > 1 {
            let (marker, status) = (Marker::Pending, RetryStatus::ExhaustedRetries);
            self.reject(task, ctx, lease, marker, status, reason).await
        } else {
            self.archive_and_settle(task, lease, reason).await
        };
        if result.outcome.returns_to_queue() {
            return result;
        }
        result.with_reason(reason.message)
    }

    /// Rejects an event after the maximum number of rounds in which the target accepted it and failed later.
    pub(super) async fn reject_after_rounds(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
    ) -> RecordResult {
        let (code, status) = (FailureCode::FailedAfterAcceptance, RetryStatus::ReplayFailed);
        let message = format!("{FAILED_LATER} in each of {} rounds", lease.round - 1);
        let reason = Rejection { code, message: &message };
        let marker = Marker::Pending;
        let result = self.reject(task, ctx, lease, marker, status, reason).await;
        let result = RecordResult { attempt: Some(lease.attempt), ..result };
        if result.outcome.returns_to_queue() {
            return result;
        }
        result.with_reason(&message)
    }
}
