//! Rounds: deliveries after a target has accepted an event and failed later.

use crate::failure::{Accepted, FailureCode};
use crate::genesys::RetryStatus;
use crate::ledger::{Claim, ClaimRequest, Lease, Ledger, LedgerError, Settlement, Status};

use super::giving_up::Reason;
use super::work::{Frame, Marker, Work};
use super::{Outcome, Ports, Replay, Verdict};

/// The reason in verdicts about failure records.
pub(super) const FAILED_LATER: &str = "the target failed after it had accepted the event";

impl<P: Ports> Replay<P> {
    /// A failure record of an earlier delivery is a duplicate, unless the bookkeeping of this one is open: the
    /// message may have brought this delivery itself.
    pub(super) async fn record_of_earlier_delivery(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
    ) -> Verdict {
        let request = ClaimRequest {
            is_failure_record: false,
            ..self.claim_request(work, frame)
        };
        match self.claim_by(work, &request).await {
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                self.finish(work, frame, lease, Marker::NotLookedFor).await
            }
            Ok(Claim::AlreadyDone) => Verdict::from(Outcome::Duplicate)
                .because("the failure record is about an earlier delivery"),
            Ok(Claim::Acquired(lease)) => {
                // Changed since it was read: the next receive compares anew.
                self.release(work, &lease, FailureCode::HeldElsewhere).await;
                self.ledger_failed(work.message, &LedgerError::LeaseLost)
            }
            Ok(Claim::HeldUntil(_) | Claim::Delivered(_) | Claim::GivenUp(_)) => {
                self.ledger_failed(work.message, &LedgerError::LeaseLost)
            }
            Err(error) => self.ledger_failed(work.message, &error),
        }
    }

    pub(super) async fn begin_round(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        accepted: &Accepted,
    ) -> Result<(), LedgerError> {
        let request = self.claim_request(work, frame);
        let call = self.ledger.begin_round(&request, accepted);
        self.ledger_latency.measure(call).await
    }

    /// Ends a new event that is finished under the key of an older version. `None`: there is no such item, or
    /// it says nothing against a delivery.
    pub(super) async fn former_end(
        &self,
        work: &Work<'_>,
        lease: &Lease,
    ) -> Result<Option<Verdict>, LedgerError> {
        let Some(key) = work.key.former(&work.destination) else {
            return Ok(None);
        };
        let Some(known) = self.ledger.look_up(&key).await? else {
            return Ok(None);
        };
        let failed_later = work.report().is_some_and(|report| {
            report.is_about(&known.accepted, &work.destination, work.message.id.as_str())
        });
        let settlement = match (known.status, known.delivered) {
            (_, Some(_)) if failed_later => return Ok(None),
            (_, Some(_)) => Settlement::Completed(known.code),
            (Some(Status::Archived | Status::Discarded), None)
                if work.message.replay_plan().is_none() =>
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

    /// Rejects an event whose target has accepted it and failed later as often as is allowed.
    pub(super) async fn reject_after_rounds(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        lease: &Lease,
    ) -> Verdict {
        let (code, status) = (
            FailureCode::FailedAfterAcceptance,
            RetryStatus::ReplayFailed,
        );
        let words = format!("{FAILED_LATER} in each of {} rounds", lease.round - 1);
        let reason = Reason {
            code,
            words: &words,
        };
        let marker = Marker::NotLookedFor;
        let verdict = self
            .give_up(work, frame, lease, marker, status, reason)
            .await;
        Verdict {
            attempt: Some(lease.attempt),
            ..verdict.because(&words)
        }
    }
}
