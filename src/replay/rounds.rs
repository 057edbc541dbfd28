//! Rounds: deliveries after a target has accepted an event and failed later.

use crate::clock::Timestamp;
use crate::failure::{Accepted, FailureCode};
use crate::genesys::RetryStatus;
use crate::ledger::{Claim, ClaimRequest, Lease, Ledger, LedgerError, Settlement, Status};

use super::giving_up::Reason;
use super::work::{Frame, Marker, Work};
use super::{Outcome, Ports, Replay, Verdict};

/// The reason in verdicts about failure records.
const FAILED_LATER: &str = "the target failed after it had accepted the event";

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
            Ok(
                Claim::HeldUntil(_)
                | Claim::Delayed { .. }
                | Claim::Delivered(_)
                | Claim::GivenUp(_),
            ) => self.ledger_failed(work.message, &LedgerError::LeaseLost),
            Err(error) => self.ledger_failed(work.message, &error),
        }
    }

    pub(super) async fn begin_round(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> Result<(), LedgerError> {
        let request = self.claim_request(work, frame);
        let call = self.ledger.begin_round(&request, accepted, not_before);
        self.ledger_latency.measure(call).await
    }

    /// Claims an event without the delay of its round: its message is about to be deleted by the queue.
    pub(super) async fn claim_at_once(
        &self,
        work: &Work<'_>,
        frame: Frame<'_>,
    ) -> Result<Claim, LedgerError> {
        let request = ClaimRequest {
            ignores_delay: true,
            ..self.claim_request(work, frame)
        };
        self.claim_by(work, &request).await
    }

    pub(super) fn round_follows(&self, round: u32, not_before: Timestamp) -> Verdict {
        let after = not_before.since(self.clock.now());
        let code = FailureCode::FailedAfterAcceptance;
        Verdict::from(Outcome::Deferred { after, code }).because(&format!(
            "{FAILED_LATER}, round {round} follows at {not_before}"
        ))
    }

    /// Ends an event that is finished under the key of an older version. `None`: there is no such item, or it
    /// says nothing against a delivery. Asked at each attempt of the first round: the first answer may have been
    /// lost, or the settlement.
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
        let verdict = Verdict {
            attempt: Some(lease.attempt),
            ..verdict
        };
        if verdict.outcome.comes_back() {
            return verdict;
        }
        verdict.because(&words)
    }
}
