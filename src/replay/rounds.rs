//! Rounds: new deliveries after a target has accepted an event and failed later.

use super::reject::Rejection;
use super::task::{InteractionLookup, InvocationContext, RecordTask};
use super::{Outcome, Ports, RecordResult, Replay};
use crate::clock::Timestamp;
use crate::failure::{Accepted, FailureCode};
use crate::genesys::RetryStatus;
use crate::ledger::{Claim, ClaimRequest, Lease, Ledger, LedgerError, Settlement, Status};

/// The reason in results about failure records.
const FAILED_LATER: &str = "the target failed after it had accepted the event";

impl<P: Ports> Replay<P> {
    /// Handles a failure record of an earlier delivery. The record is a duplicate, unless the bookkeeping of the
    /// current delivery is unfinished: the same message may have caused the current delivery.
    pub(super) async fn record_of_earlier_delivery(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> RecordResult {
        let request = ClaimRequest {
            is_failure_record: false,
            ..self.claim_request(task, ctx)
        };
        match self.claim_by(task, &request).await {
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                self.complete(task, ctx, lease, InteractionLookup::Pending)
                    .await
            }
            Ok(Claim::AlreadyDone) => RecordResult::from(Outcome::Duplicate)
                .with_reason("the failure record is about an earlier delivery"),
            Ok(Claim::Acquired(lease)) => {
                // The item has changed since it was read; the next receive compares again.
                self.release(task, &lease, FailureCode::HeldElsewhere).await;
                self.ledger_failed(task.message, &LedgerError::LeaseLost)
            }
            Ok(
                Claim::HeldUntil(_)
                | Claim::Delayed { .. }
                | Claim::Delivered(_)
                | Claim::PreviouslyRejected(_),
            ) => self.ledger_failed(task.message, &LedgerError::LeaseLost),
            Err(error) => self.ledger_failed(task.message, &error),
        }
    }

    pub(super) async fn begin_round(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> Result<(), LedgerError> {
        let request = self.claim_request(task, ctx);
        let call = self.ledger.begin_round(&request, accepted, not_before);
        self.ledger_latency.measure(call).await
    }

    /// Claims an event without the delay of its round, because SQS is about to delete its message.
    pub(super) async fn claim_at_once(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<Claim, LedgerError> {
        let request = ClaimRequest {
            ignores_delay: true,
            ..self.claim_request(task, ctx)
        };
        self.claim_by(task, &request).await
    }

    pub(super) fn round_follows(&self, round: u32, not_before: Timestamp) -> RecordResult {
        let after = not_before.since(self.clock.now());
        let code = FailureCode::FailedAfterAcceptance;
        RecordResult::from(Outcome::Deferred { after, code }).with_reason(&format!(
            "{FAILED_LATER}, round {round} follows at {not_before}"
        ))
    }

    /// Ends an event that is finished under the key of an older version. Returns `None` if that item does not exist
    /// or does not forbid a delivery.
    ///
    /// Called at each claim in the first round, because the first answer or the settlement may have been lost.
    pub(super) async fn former_end(
        &self,
        task: &RecordTask<'_>,
        lease: &Lease,
    ) -> Result<Option<RecordResult>, LedgerError> {
        let Some(key) = task.key.former(&task.destination) else {
            return Ok(None);
        };
        let Some(known) = self.ledger.look_up(&key).await? else {
            return Ok(None);
        };
        let failed_later = task.report().is_some_and(|report| {
            report.is_about(&known.accepted, &task.destination, task.message.id.as_str())
        });
        let settlement = match (known.status, known.delivered) {
            (_, Some(_)) if failed_later => return Ok(None),
            (_, Some(_)) => Settlement::Completed(known.code),
            (Some(Status::Archived | Status::Discarded), None)
                if task.message.replay_plan().is_none() =>
            {
                Settlement::Archived(known.code.unwrap_or(FailureCode::Internal))
            }
            (_, None) => return Ok(None),
        };
        let lease = Lease {
            delivered: known.delivered,
            receipt: known.accepted.receipt,
            ..lease.clone()
        };
        self.ledger
            .settle(&lease, settlement, self.clock.now())
            .await?;
        Ok(Some(Outcome::Duplicate.into()))
    }

    /// Rejects an event after the maximum number of rounds in which the target accepted it and failed later.
    pub(super) async fn reject_after_rounds(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
    ) -> RecordResult {
        let (code, status) = (
            FailureCode::FailedAfterAcceptance,
            RetryStatus::ReplayFailed,
        );
        let message = format!("{FAILED_LATER} in each of {} rounds", lease.round - 1);
        let reason = Rejection {
            code,
            message: &message,
        };
        let marker = InteractionLookup::Pending;
        let result = self.reject(task, ctx, lease, marker, status, reason).await;
        let result = RecordResult {
            attempt: Some(lease.attempt),
            ..result
        };
        if result.outcome.returns_to_queue() {
            return result;
        }
        result.with_reason(&message)
    }
}
