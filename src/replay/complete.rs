//! After the target has accepted: checkpoint, closing mark, settlement.

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
    /// After the target accepted: write that down and mark the interaction, both at once, then complete.
    ///
    /// Neither waits for the other: the mark is true whatever becomes of the checkpoint. Only where the event is another's by
    /// now, what stands on the interaction is left to that one.
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
            // Delivered, and whoever holds the event now cannot know.
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
            // Neither write came through. The event is where it belongs, and sending the message
            // back would deliver it a second time: better an item that stays unfinished.
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

    /// Makes sure that the ledger knows of the delivery: coming back means delivering again unless it does.
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
                // Its failure record would be another event: it has another message id.
                let call = self.ledger.index_delivery(id, &task.key, self.clock.now());
                self.ledger_latency.measure(call).await?;
            }
            let call = self.ledger.checkpoint(lease);
            self.ledger_latency.measure(call).await?
        };
        task.set(Phase::Checkpointed);
        Ok(recorded)
    }

    /// Writes the closing mark, waiting here as long as policy allows.
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
