//! Bookkeeping of unfinished records: the release of a lease, failed ledger calls, and delays.

use std::time::Duration;

use super::retry_policy::AttemptFailure;
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::ledger::{Lease, Ledger, LedgerError, Settlement};
use crate::message::Message;

impl<P: Ports> Replay<P> {
    /// Releases the event. If the write fails, the event stays held until the lease ends, and a message received
    /// sooner is deferred again.
    pub(super) async fn release(&self, task: &RecordTask<'_>, lease: &Lease, code: FailureCode) {
        let settlement = Settlement::Deferred(code);
        if let Err(error) = self.ledger.settle(lease, settlement, self.clock.now()).await {
            tracing::warn!(
                message_id = %task.message.id,
                event_id = task.event_id(),
                failure_code = FailureCode::LedgerUnavailable.as_str(),
                error = with_causes(&error),
                "event not released, held until its lease ends"
            );
        }
    }

    /// Returns the delay after a failed bookkeeping step. The delay grows with the receive count, because the attempt
    /// number does not change.
    pub(super) fn delay_after_failure(
        &self,
        message: &Message,
        failure: &AttemptFailure,
    ) -> Duration {
        let attempt = message.receive_count;
        self.policy.delay_after_failure(failure.disposition, attempt, self.random.unit())
    }

    /// Returns the delay of a message that was not attempted, or whose failure is not the event's fault.
    pub(super) fn delay_by_receive_count(&self, message: &Message) -> Duration {
        self.policy.delay_by_receive_count(message.receive_count, self.random.unit())
    }

    pub(super) fn ledger_failed(&self, message: &Message, error: &LedgerError) -> RecordResult {
        let code = match error {
            LedgerError::Unavailable(_) | LedgerError::Unreadable(_) => {
                FailureCode::LedgerUnavailable
            }
            LedgerError::LeaseLost => FailureCode::HeldElsewhere,
        };
        let after = self.delay_by_receive_count(message);
        RecordResult::from(Outcome::Deferred { after, code }).with_reason(&with_causes(error))
    }
}
