//! The clean-up after an interruption.

use tokio::time::timeout_at;

use super::invocation::InvocationContext;
use super::phase::{Interrupted, Interruption, Phase};
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::failure::FailureCode;
use crate::ledger::{Ledger, LedgerError};
use crate::message::Message;

/// The delivery of an interrupted record.
enum InterruptedDelivery {
    /// The target has not accepted the event in this receive, or the acceptance is recorded.
    NotOpen,
    /// The target may have accepted the event.
    Possible,
    /// The target accepted the event, but the ledger could not be updated.
    Unrecorded,
}

impl<P: Ports> Replay<P> {
    /// Releases the event of an interrupted record, or checkpoints its delivery again. A delivered event is not
    /// released: another worker may claim it only after the lease ends.
    pub(super) async fn clean_up(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        interrupted: Interrupted,
    ) -> RecordResult {
        let Interrupted { phase, cause } = interrupted;
        let (end, code) = (self.cleanup_deadline(ctx), cause.code());
        // If a release times out, the event stays held until the lease ends.
        let delivery = match phase {
            Phase::Unclaimed | Phase::Checkpointed => InterruptedDelivery::NotOpen,
            Phase::Claimed { lease, lost_answer } => {
                let _ = timeout_at(end, self.release(task, &lease, code)).await;
                if lost_answer {
                    InterruptedDelivery::Possible
                } else {
                    InterruptedDelivery::NotOpen
                }
            }
            Phase::Delivering(mut lease) => {
                lease.maybe_delivered = true;
                // A shutdown may have cut the target's time short.
                if cause == Interruption::Deadline {
                    lease.answers.unanswered = lease.answers.unanswered.saturating_add(1);
                }
                let _ = timeout_at(end, self.release(task, &lease, code)).await;
                InterruptedDelivery::Possible
            }
            Phase::Delivered(lease) => {
                match timeout_at(end, self.ledger.checkpoint(&lease)).await {
                    Ok(Ok(_)) => InterruptedDelivery::NotOpen,
                    Ok(Err(LedgerError::LeaseLost)) => InterruptedDelivery::Possible,
                    Ok(Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_))) | Err(_) => {
                        InterruptedDelivery::Unrecorded
                    }
                }
            }
        };
        match delivery {
            // Returning the message would deliver the event again.
            InterruptedDelivery::Unrecorded => RecordResult {
                warning_code: Some(FailureCode::LedgerUnavailable),
                ..RecordResult::from(Outcome::Replayed).with_reason(cause.reason())
            },
            InterruptedDelivery::NotOpen | InterruptedDelivery::Possible => RecordResult {
                possible_duplicate: matches!(delivery, InterruptedDelivery::Possible),
                ..self.interrupted(task.message, cause)
            },
        }
    }

    /// Returns the result of a message whose handling was interrupted.
    pub(super) fn interrupted(&self, message: &Message, cause: Interruption) -> RecordResult {
        let outcome =
            Outcome::Deferred { after: self.delay_by_receive_count(message), code: cause.code() };
        RecordResult::from(outcome).with_reason(cause.reason())
    }
}
