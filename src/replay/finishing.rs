//! After the target has accepted: checkpoint, closing mark, settlement.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::policy::{AttemptFailure, NextStep};
use super::record::note_retry;
use super::work::{Frame, Marker, Progress, Work};
use super::{Outcome, Ports, Replay, Verdict};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::genesys::{RetryMark, RetryStatus};
use crate::ledger::{Lease, Ledger, LedgerError, Settlement};

impl<P: Ports> Replay<P> {
    /// After the target accepted: write that down and mark the interaction, both at once, then complete.
    ///
    /// Neither waits for the other: the mark is true whatever becomes of the checkpoint. Only where the event is another's by
    /// now, what stands on the interaction is left to that one.
    pub(super) async fn finish(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: Lease,
        marker: Marker,
    ) -> Verdict {
        let delivered = Lease {
            delivered: lease.delivered.or(Some(lease.attempt)),
            ..lease.clone()
        };
        let status = RetryStatus::ReplaySuccessful;
        let recording = pin!(self.record_delivery(work, &lease));
        let marking = pin!(self.mark_in_the_end(work, frame, &delivered, marker, status));
        let (recorded, in_the_end) = match select(recording, marking).await {
            // Delivered, and whoever holds the event now cannot know.
            Either::Left((Err(error @ LedgerError::LeaseLost), _)) => {
                return self.overtaken(work, &error);
            }
            Either::Left((recorded, marking)) => (recorded, marking.await),
            Either::Right((in_the_end, recording)) => (recording.await, in_the_end),
        };
        let (lease, known) = match recorded {
            Ok(lease) => (lease, true),
            Err(error @ LedgerError::LeaseLost) => return self.overtaken(work, &error),
            Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_)) => {
                (delivered.clone(), false)
            }
        };
        let attempt = Some(lease.shown_attempt());
        let shortfall = in_the_end
            .is_err()
            .then_some(FailureCode::RetryStateNotWritten);
        if let Err(failure) = &in_the_end
            && known
            && !self.is_last(work, &lease).await
        {
            let code = FailureCode::RetryStateNotWritten;
            let after = self.deferral(work.message, failure);
            self.release(work, &lease, code).await;
            return Verdict {
                attempt,
                disposition: Some(failure.disposition),
                ..Verdict::from(Outcome::Deferred { after, code }).because(&failure.reason)
            };
        }
        let verdict = Verdict {
            attempt,
            shortfall,
            reason: in_the_end.err().map(|failure| failure.reason),
            ..Outcome::Replayed.into()
        };
        let settlement = Settlement::Completed(shortfall);
        match self
            .ledger
            .settle(&lease, settlement, self.clock.now())
            .await
        {
            Ok(()) => verdict,
            Err(error) if known => Verdict {
                attempt,
                ..self.ledger_failed(work.message, &error)
            },
            // Neither write came through. The event is where it belongs, and sending the message
            // back would deliver it a second time: better an item that stays unfinished.
            Err(error) => Verdict {
                shortfall: Some(FailureCode::LedgerUnavailable),
                reason: Some(with_causes(&error)),
                ..verdict
            },
        }
    }

    fn overtaken(&self, work: &Work<'_>, error: &LedgerError) -> Verdict {
        Verdict {
            possible_duplicate: true,
            ..self.ledger_failed(work.message, error)
        }
    }

    /// Makes sure that the ledger knows of the delivery: coming back means delivering again unless it does.
    async fn record_delivery(&self, work: &Work<'_>, lease: &Lease) -> Result<Lease, LedgerError> {
        let recorded = if lease.delivered.is_some() {
            lease.clone()
        } else {
            work.set(Progress::Accepted(lease.clone()));
            let receipt = lease.receipt.as_ref();
            if let (None, Some(id)) = (
                work.event_id(),
                receipt.and_then(|it| it.delivery_id.as_deref()),
            ) {
                // Its failure record would be another event: it has another message id.
                let call = self.ledger.index_delivery(id, &work.key, self.clock.now());
                self.ledger_latency.measure(call).await?;
            }
            let call = self.ledger.checkpoint(lease);
            self.ledger_latency.measure(call).await?
        };
        work.set(Progress::Recorded);
        Ok(recorded)
    }

    /// Writes the closing mark, waiting here as long as policy allows.
    pub(super) async fn mark_in_the_end(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: &Lease,
        mut marker: Marker,
        status: RetryStatus,
    ) -> Result<(), AttemptFailure> {
        let mark = RetryMark {
            attempt: lease.shown_attempt(),
            status,
        };
        let mut tries = 1;
        loop {
            let Err(failure) = self.find_and_mark(work, &mut marker, mark).await else {
                return Ok(());
            };
            let situation = self.situation(work, frame, &failure, tries, tries);
            let next = self
                .policy
                .next_step(&failure, &situation, self.random.unit());
            match next {
                NextStep::Again { after } => {
                    note_retry(work, &failure, mark.attempt, after);
                    tokio::time::sleep(after).await;
                    tries += 1;
                }
                NextStep::Defer { .. } | NextStep::GiveUp { .. } => return Err(failure),
            }
        }
    }
}
