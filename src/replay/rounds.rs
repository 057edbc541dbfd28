//! Rounds: new deliveries after a target has accepted an event and failed later.

use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::clock::Timestamp;
use crate::failure::FailureCode;
use crate::ledger::{KnownState, Lease, Ledger, LedgerError, Settlement, Status};

/// The reason in results about failure records.
pub(super) const FAILED_LATER: &str = "the target failed after it had accepted the event";

impl<P: Ports> Replay<P> {
    pub(super) fn round_follows(&self, round: u32, not_before: Timestamp) -> RecordResult {
        let after = not_before.since(self.clock.now());
        let code = FailureCode::FailedAfterAcceptance;
        RecordResult::from(Outcome::Deferred { after, code })
            .with_reason(&format!("{FAILED_LATER}, round {round} follows at {not_before}"))
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
        for former in task.key.former(task.dead_letter.former_id.as_ref(), &task.destination) {
            if let Some(known) = self.ledger.look_up(&former.key).await?
                && (!former.is_shared
                    || known.accepted.message_id.as_deref() == Some(task.message.id.as_str()))
                && let Some(ended) = self.end_as_known(task, lease, known).await?
            {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    /// Ends an event that is finished under another key; `None` if that item does not forbid a delivery.
    async fn end_as_known(
        &self,
        task: &RecordTask<'_>,
        lease: &Lease,
        known: KnownState,
    ) -> Result<Option<RecordResult>, LedgerError> {
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
        let lease =
            Lease { delivered: known.delivered, receipt: known.accepted.receipt, ..lease.clone() };
        self.ledger.settle(&lease, settlement, self.clock.now()).await?;
        Ok(Some(Outcome::Duplicate.into()))
    }
}
