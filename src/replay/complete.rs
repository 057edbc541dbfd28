//! Completion after the target has accepted: checkpoint, final mark, settlement.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::retry_policy::{AttemptFailure, RetryDecision};
use super::task::{InteractionLookup, InvocationContext, Phase, RecordTask};
use super::{Outcome, Ports, RecordResult, Replay, log};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::genesys::{RetryMark, RetryStatus};
use crate::ledger::{Lease, Ledger, LedgerError, Settlement};

impl<P: Ports> Replay<P> {
    /// Checkpoints an accepted delivery and marks the interaction, both concurrently, and then settles the event.
    ///
    /// The mark is correct even if the checkpoint fails. If the lease was lost, the mark is left to the new holder of
    /// the event.
    pub(super) async fn complete(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: Lease,
        marker: InteractionLookup,
    ) -> RecordResult {
        let delivered = Lease {
            delivered: lease.delivered.or(Some(lease.attempt)),
            ..lease.clone()
        };
        let status = RetryStatus::ReplaySuccessful;
        let recording = pin!(self.record_delivery(task, &lease));
        let marking = pin!(self.mark_final_status(task, ctx, &delivered, marker, status));
        let (recorded, in_the_end) = match select(recording, marking).await {
            // The event is delivered, but the ledger does not show that to the new holder of the lease.
            Either::Left((Err(error @ LedgerError::LeaseLost), _)) => {
                return self.lease_lost_after_delivery(task, &error);
            }
            Either::Left((recorded, marking)) => (recorded, marking.await),
            Either::Right((in_the_end, recording)) => (recording.await, in_the_end),
        };
        let (lease, known) = match recorded {
            Ok(lease) => (lease, true),
            Err(error @ LedgerError::LeaseLost) => {
                return self.lease_lost_after_delivery(task, &error);
            }
            Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_)) => {
                (delivered.clone(), false)
            }
        };
        let attempt = Some(lease.reported_attempt());
        let warning_code = in_the_end
            .is_err()
            .then_some(FailureCode::RetryStateNotWritten);
        if let Err(failure) = &in_the_end
            && known
            && !self.is_last(task, &lease).await
        {
            let code = FailureCode::RetryStateNotWritten;
            let after = self.delay_after_failure(task.message, failure);
            self.release(task, &lease, code).await;
            return RecordResult {
                attempt,
                disposition: Some(failure.disposition),
                ..RecordResult::from(Outcome::Deferred { after, code }).with_reason(&failure.reason)
            };
        }
        let result = RecordResult {
            attempt,
            warning_code,
            reason: in_the_end.err().map(|failure| failure.reason),
            ..Outcome::Replayed.into()
        };
        let settlement = Settlement::Completed(warning_code);
        match self
            .ledger
            .settle(&lease, settlement, self.clock.now())
            .await
        {
            Ok(()) => result,
            Err(error) if known => RecordResult {
                attempt,
                ..self.ledger_failed(task.message, &error)
            },
            // Both writes failed. The event is delivered, and returning the message would deliver it again. So
            // acknowledge the message and leave the ledger item unfinished.
            Err(error) => RecordResult {
                warning_code: Some(FailureCode::LedgerUnavailable),
                reason: Some(with_causes(&error)),
                ..result
            },
        }
    }

    fn lease_lost_after_delivery(
        &self,
        task: &RecordTask<'_>,
        error: &LedgerError,
    ) -> RecordResult {
        RecordResult {
            possible_duplicate: true,
            ..self.ledger_failed(task.message, error)
        }
    }

    /// Writes the checkpoint of a delivery. Without a checkpoint a returned message would deliver the event again.
    async fn record_delivery(
        &self,
        task: &RecordTask<'_>,
        lease: &Lease,
    ) -> Result<Lease, LedgerError> {
        let recorded = if lease.delivered.is_some() {
            lease.clone()
        } else {
            task.set(Phase::Delivered(lease.clone()));
            let receipt = lease.receipt.as_ref();
            if let (None, Some(id)) = (
                task.event_id(),
                receipt.and_then(|it| it.delivery_id.as_deref()),
            ) {
                // Without this index a failure record would count as another event, because its message id differs.
                let call = self.ledger.index_delivery(id, &task.key, self.clock.now());
                self.ledger_latency.measure(call).await?;
            }
            let call = self.ledger.checkpoint(lease);
            self.ledger_latency.measure(call).await?
        };
        task.set(Phase::Checkpointed);
        Ok(recorded)
    }

    /// Writes the final mark, with retries in this invocation as far as the policy allows.
    pub(super) async fn mark_final_status(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
        mut marker: InteractionLookup,
        status: RetryStatus,
    ) -> Result<(), AttemptFailure> {
        let mark = RetryMark {
            attempt: lease.reported_attempt(),
            status,
        };
        let mut attempts_this_receive = 1;
        loop {
            let Err(failure) = self.fetch_and_mark(task, &mut marker, mark).await else {
                return Ok(());
            };
            let situation = self.situation(
                task,
                ctx,
                &failure,
                attempts_this_receive,
                attempts_this_receive,
            );
            let next = self.policy.decide(&failure, &situation, self.random.unit());
            match next {
                RetryDecision::RetryNow { after } => {
                    log::retried(task, &failure, mark.attempt, after);
                    tokio::time::sleep(after).await;
                    attempts_this_receive += 1;
                }
                RetryDecision::Defer { .. } | RetryDecision::Reject { .. } => return Err(failure),
            }
        }
    }
}
