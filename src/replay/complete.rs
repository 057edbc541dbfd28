//! Completion after the target has accepted: checkpoint, final mark, settlement.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::attempt::AcceptedDelivery;
use super::invocation::InvocationContext;
use super::marking::Marker;
use super::phase::{Interrupted, Phase, Step};
use super::retry_policy::AttemptFailure;
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::genesys::RetryStatus;
use crate::ledger::{Lease, Ledger, LedgerError, Settlement};

/// An accepted delivery after its checkpoint and its final mark.
struct Recorded {
    lease: Lease,
    /// True if the ledger has the delivery.
    is_checkpointed: bool,
    final_mark: Result<Marker, AttemptFailure>,
}

fn phase(lease: &Lease, is_checkpointed: bool) -> Phase {
    if is_checkpointed { Phase::Checkpointed } else { Phase::Delivered(Box::new(lease.clone())) }
}

impl<P: Ports> Replay<P> {
    /// Checkpoints an accepted delivery and marks the interaction, and then settles the event.
    pub(super) async fn complete(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        delivery: AcceptedDelivery,
    ) -> Step<RecordResult> {
        let AcceptedDelivery { lease, marker, lost_answer } = delivery;
        let result = match self.record_and_mark(task, ctx, &lease, marker).await? {
            Ok(recorded) => self.settle_delivery(task, ctx, recorded).await?,
            // The event is delivered, but the ledger does not show that to the new holder of the lease.
            Err(error) => RecordResult {
                possible_duplicate: true,
                ..self.ledger_failed(task.message, &error)
            },
        };
        Ok(RecordResult { possible_duplicate: result.possible_duplicate || lost_answer, ..result })
    }

    /// Checkpoints and marks concurrently. The mark is correct even if the checkpoint fails. If the lease was lost,
    /// the mark is left to the new holder of the event, and the error is returned.
    async fn record_and_mark(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
        marker: Marker,
    ) -> Step<Result<Recorded, LedgerError>> {
        let delivered =
            Lease { delivered: lease.delivered.or(Some(lease.attempt)), ..lease.clone() };
        let status = RetryStatus::ReplaySuccessful;
        // A checkpoint under way is not interrupted, because dropping and sending it again would take twice as long.
        let recording = pin!(self.until_cleanup(ctx, self.record_delivery(task, lease)));
        let marking = self.mark_final_status(task, ctx, &delivered, marker, status);
        let marking = pin!(self.until_interrupted(ctx, marking));
        let (recorded, final_mark) = match select(recording, marking).await {
            Either::Left((Ok(Err(error @ LedgerError::LeaseLost)), _)) => return Ok(Err(error)),
            Either::Left((recorded, marking)) => (recorded, marking.await),
            Either::Right((final_mark, recording)) => (recording.await, final_mark),
        };
        let (lease, is_checkpointed) = match recorded {
            Ok(Ok(recorded)) => (recorded, true),
            Ok(Err(error @ LedgerError::LeaseLost)) => return Ok(Err(error)),
            Ok(Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_))) => {
                (delivered.clone(), false)
            }
            Err(cause) => {
                let phase = phase(lease, false);
                return Err(Interrupted { phase, cause });
            }
        };
        match final_mark {
            Ok(final_mark) => Ok(Ok(Recorded { lease, is_checkpointed, final_mark })),
            Err(cause) => Err(Interrupted { phase: phase(&lease, is_checkpointed), cause }),
        }
    }

    /// Settles an accepted delivery, or releases it for another receive if its final mark is missing.
    async fn settle_delivery(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        recorded: Recorded,
    ) -> Step<RecordResult> {
        let Recorded { lease, is_checkpointed, final_mark } = recorded;
        let phase = || phase(&lease, is_checkpointed);
        let attempt = Some(lease.reported_attempt());
        let code = FailureCode::RetryStateNotWritten;
        if let Err(failure) = &final_mark
            && is_checkpointed
            && !self.step(ctx, phase, self.is_last(task, &lease)).await?
        {
            let after = self.delay_after_failure(task.message, failure);
            let release = self.release(task, &lease, code);
            self.step(ctx, phase, release).await?;
            return Ok(RecordResult {
                attempt,
                disposition: Some(failure.disposition),
                ..RecordResult::from(Outcome::Deferred { after, code }).with_reason(&failure.reason)
            });
        }
        let warning_code = final_mark.is_err().then_some(code);
        let settlement = Settlement::Completed(warning_code);
        let settling = self.ledger.settle(&lease, settlement, self.clock.now());
        let settled = self.step(ctx, phase, settling).await?;
        let replayed = RecordResult { attempt, warning_code, ..Outcome::Replayed.into() };
        Ok(match (settled, final_mark) {
            (Ok(()), Ok(marker)) => replayed.with_skipped_mark(marker.into_skipped()),
            (Ok(()), Err(failure)) => replayed.with_reason(&failure.reason),
            (Err(error), _) if is_checkpointed => {
                RecordResult { attempt, ..self.ledger_failed(task.message, &error) }
            }
            // Both writes failed. The event is delivered, and returning the message would deliver it again. So
            // acknowledge the message and leave the ledger item unfinished.
            (Err(error), _) => RecordResult {
                warning_code: Some(FailureCode::LedgerUnavailable),
                ..replayed.with_reason(&with_causes(&error))
            },
        })
    }

    /// Writes the checkpoint of a delivery. Without a checkpoint a returned message would deliver the event again.
    async fn record_delivery(
        &self,
        task: &RecordTask<'_>,
        lease: &Lease,
    ) -> Result<Lease, LedgerError> {
        if lease.delivered.is_some() {
            return Ok(lease.clone());
        }
        let receipt = lease.receipt.as_ref();
        if let (None, Some(id)) =
            (task.event_id(), receipt.and_then(|it| it.delivery_id.as_deref()))
        {
            // Without this index a failure record would count as another event, because its message id differs.
            let call = self.ledger.index_delivery(id, &task.key, self.clock.now());
            self.ledger_latency.measure(call).await?;
        }
        let call = self.ledger.checkpoint(lease);
        self.ledger_latency.measure(call).await
    }
}
