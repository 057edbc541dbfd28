//! The handling of one dead letter in one receive.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::circuit_breaker::{Breaker, CircuitObserver};
use super::retry_policy::AttemptFailure;
use super::task::{Aborted, InteractionLookup, Interruption, InvocationContext, Phase, RecordTask};
use super::{Outcome, Ports, RecordResult, Replay};
use crate::error::with_causes;
use crate::failure::FailureCode;
use crate::ledger::{Claim, Lease, Ledger, LedgerError, Settlement};
use crate::message::Message;

impl<P: Ports> Replay<P> {
    /// Claims an event and takes it as far as possible in this receive.
    pub(super) async fn record(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> RecordResult {
        let message = task.message;
        if self.is_archived_as_malformed(task) {
            return self.archive_malformed(task).await;
        }
        let _permits = match self.admit(task) {
            Ok(permits) => permits,
            Err(refusal) => {
                // Every deferral costs a receive. Use the backoff so that a long outage does not exhaust
                // `maxReceiveCount`.
                let after = refusal.after.max(self.delay_by_receive_count(message));
                let code = FailureCode::BreakerOpen;
                return RecordResult::from(Outcome::NotAttempted { after, code })
                    .with_reason(&refusal);
            }
        };
        let mut claim = self.claim(task, ctx).await;
        if let (Ok(Claim::Delivered(accepted)), Some(report)) = (&claim, task.report()) {
            if !report.is_about(accepted, &task.destination, message.id.as_str()) {
                return self.record_of_earlier_delivery(task, ctx).await;
            }
            let round = accepted.round.saturating_add(1);
            let exceeds = self.policy.exceeds_rounds(round);
            let delay = if exceeds {
                Duration::ZERO
            } else {
                self.policy.round_delay(round)
            };
            let not_before = self.clock.now().plus(delay);
            if let Err(error) = self.begin_round(task, ctx, accepted, not_before).await {
                return self.ledger_failed(message, &error);
            }
            self.circuit_breakers
                .target(&task.destination)
                .failed(self.clock.now(), None);
            if !exceeds {
                return self.round_follows(round, not_before);
            }
            // Claim the event once more, only to reject it.
            claim = self.claim(task, ctx).await;
        }
        match claim {
            Ok(Claim::Acquired(lease)) if task.letter.own_echo => {
                self.archive_own_echo(task, &lease).await
            }
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                self.complete(task, ctx, lease, InteractionLookup::Pending)
                    .await
            }
            Ok(Claim::Acquired(lease)) if self.policy.exceeds_rounds(lease.round) => {
                task.set(Phase::Claimed(lease.clone()));
                Box::pin(self.reject_after_rounds(task, ctx, &lease)).await
            }
            Ok(Claim::Acquired(lease)) if lease.is_in_first_round() => {
                task.set(Phase::Claimed(lease.clone()));
                match self.former_end(task, &lease).await {
                    Ok(None) => self.attempts(task, ctx, lease).await,
                    Ok(Some(result)) => result,
                    Err(error) => {
                        self.release(task, &lease, FailureCode::LedgerUnavailable)
                            .await;
                        self.ledger_failed(message, &error)
                    }
                }
            }
            Ok(Claim::Acquired(lease)) => {
                task.set(Phase::Claimed(lease.clone()));
                self.attempts(task, ctx, lease).await
            }
            Ok(Claim::AlreadyDone) => Outcome::Duplicate.into(),
            // The item has changed since it was read; the next receive compares again.
            Ok(Claim::Delivered(_)) => self.ledger_failed(message, &LedgerError::LeaseLost),
            Ok(Claim::PreviouslyRejected(code)) => RecordResult::from(Outcome::Returned { code })
                .with_reason("the event was given up before"),
            Ok(Claim::Delayed { round, until }) => self.round_follows(round, until),
            Ok(Claim::HeldUntil(until)) => {
                let after = until.since(self.clock.now());
                let code = FailureCode::HeldElsewhere;
                RecordResult::from(Outcome::Deferred { after, code })
                    .with_reason("another worker holds the event")
            }
            Err(error) => self.ledger_failed(message, &error),
        }
    }

    /// Returns true if the first delivery failed as malformed, and neither the settings nor an operator replay ask
    /// for another delivery.
    pub(super) fn is_archived_as_malformed(&self, task: &RecordTask<'_>) -> bool {
        let is_wanted = self.policy.replays_malformed() || task.message.replay_plan().is_some();
        task.letter.failure.category().is_malformed() && !is_wanted
    }

    pub(super) fn observer(&self, breaker: &Breaker) -> CircuitObserver<'_> {
        CircuitObserver {
            breaker: breaker.clone(),
            clock: self.clock.as_ref(),
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
        self.policy
            .delay_after_failure(failure.disposition, attempt, self.random.unit())
    }

    /// Releases the event. If the write fails, the event stays held until the lease ends, and a message received
    /// sooner is deferred again.
    pub(super) async fn release(&self, task: &RecordTask<'_>, lease: &Lease, code: FailureCode) {
        let settlement = Settlement::Deferred(code);
        if let Err(error) = self
            .ledger
            .settle(lease, settlement, self.clock.now())
            .await
        {
            tracing::warn!(
                message_id = %task.message.id,
                event_id = task.event_id(),
                failure_code = FailureCode::LedgerUnavailable.as_str(),
                error = with_causes(&error),
                "event not released, held until its lease ends"
            );
        }
    }

    /// Releases the event of a record that was cut off, or checkpoints its delivery again. A delivered event is not
    /// released: another worker may claim it only after the lease ends.
    pub(super) async fn clean_up(
        &self,
        task: &RecordTask<'_>,
        interruption: Interruption,
        end: Instant,
    ) -> Aborted {
        let code = interruption.code();
        match task.set(Phase::Unclaimed) {
            Phase::Unclaimed | Phase::Checkpointed => Aborted::NoEffect,
            Phase::Claimed(lease) => {
                // If the release times out, the event stays held until the lease ends.
                let _ = timeout_at(end, self.release(task, &lease, code)).await;
                Aborted::NoEffect
            }
            Phase::Delivering(mut lease) => {
                lease.maybe_delivered = true;
                // A shutdown may have cut the target's time short.
                if interruption == Interruption::Deadline {
                    lease.answers.unanswered = lease.answers.unanswered.saturating_add(1);
                }
                let _ = timeout_at(end, self.release(task, &lease, code)).await;
                Aborted::MaybeDelivered
            }
            Phase::Delivered(lease) => {
                match timeout_at(end, self.ledger.checkpoint(&lease)).await {
                    Ok(Ok(_)) => Aborted::NoEffect,
                    Ok(Err(LedgerError::LeaseLost)) => Aborted::MaybeDelivered,
                    Ok(Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_))) | Err(_) => {
                        Aborted::DeliveredUnrecorded
                    }
                }
            }
        }
    }

    /// Returns the delay of a message that was not attempted, or whose failure is not the event's fault.
    pub(super) fn delay_by_receive_count(&self, message: &Message) -> Duration {
        self.policy
            .delay_by_receive_count(message.receive_count, self.random.unit())
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
