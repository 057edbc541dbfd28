//! The handling of one dead letter in one receive.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::circuit_breaker::{Breaker, CircuitObserver, OpenBreaker, Permit};
use super::reject::Rejection;
use super::retry_policy::{AttemptFailure, RetryContext, RetryDecision, Upstream};
use super::task::{Aborted, InteractionLookup, InvocationContext, Phase, RecordTask};
use super::{Outcome, Ports, RecordResult, Replay, log};
use crate::error::with_causes;
use crate::failure::{Certainty, Disposition, FailureCode, Receipt};
use crate::genesys::{RetryMark, RetryStatus};
use crate::ledger::{
    AnswerCounts, Claim, ClaimMetadata, ClaimRequest, Lease, Ledger, LedgerError, ReopenPolicy,
    Settlement,
};
use crate::message::Message;
use crate::target::{Delivery, Target};

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

    /// Requests a permit from the breaker of every upstream; `Err` is the first open circuit.
    fn admit(&self, task: &RecordTask<'_>) -> Result<Vec<Permit>, OpenBreaker> {
        // An echo of our own PATCH is only archived. Other events are marked, even if nothing is delivered.
        let is_replayed = !task.letter.own_echo;
        let interaction = task.letter.marked_interaction().filter(|_| is_replayed);
        let needs_genesys = self.retry_state.is_needed_for(interaction);
        let genesys = needs_genesys.then(|| self.circuit_breakers.genesys.clone());
        let target = is_replayed.then(|| self.circuit_breakers.target(&task.destination));
        let now = self.clock.now();
        [Some(self.circuit_breakers.ledger.clone()), genesys, target]
            .into_iter()
            .flatten()
            .map(|breaker| breaker.admit(now))
            .collect()
    }

    pub(super) async fn claim(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<Claim, LedgerError> {
        self.claim_by(task, &self.claim_request(task, ctx)).await
    }

    pub(super) async fn claim_by(
        &self,
        task: &RecordTask<'_>,
        request: &ClaimRequest<'_>,
    ) -> Result<Claim, LedgerError> {
        let message = task.message;
        let call = self.ledger.claim(request);
        let claim = self.ledger_latency.measure(call).await;
        if let Err(error @ LedgerError::Unreadable(_)) = &claim {
            tracing::error!(
                message_id = %message.id,
                event_id = task.event_id(),
                error = with_causes(error),
                "ledger item not readable, message deferred"
            );
        }
        self.observer(&self.circuit_breakers.ledger)
            .observe(claim, |error| match error {
                LedgerError::Unavailable(_) => Disposition::Transient { after: None },
                // The ledger is available, because it answered.
                LedgerError::Unreadable(_) | LedgerError::LeaseLost => Disposition::Permanent,
            })
    }

    pub(super) fn claim_request<'w>(
        &self,
        task: &'w RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> ClaimRequest<'w> {
        let (message, letter) = (task.message, task.letter);
        ClaimRequest {
            key: &task.key,
            owner: format!("{}/{}", ctx.request_id, message.id),
            now: self.clock.now(),
            lease_until: ctx.lease_until,
            reopen: match (message.replay_plan(), &self.archive) {
                (Some(_), _) => ReopenPolicy::FailedAndArchived,
                (None, Some(_)) => ReopenPolicy::Failed,
                (None, None) => ReopenPolicy::Never,
            },
            is_failure_record: task.report().is_some(),
            ignores_delay: message.replay_plan().is_some(),
            about: ClaimMetadata {
                message_id: &message.id,
                interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
                category: letter.failure.category().as_str(),
                target: &task.target,
            },
        }
    }

    /// Makes attempts until one succeeds or the policy ends them.
    async fn attempts(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        mut lease: Lease,
    ) -> RecordResult {
        let is_wanted = task.message.replay_plan().is_some();
        if !is_wanted && self.policy.is_stale(task.letter.time, self.clock.now()) {
            return self.reject_stale(task, ctx, &lease).await;
        }
        let mut marker = InteractionLookup::Pending;
        let name = task.delivery_name(&lease);
        let mut possible_duplicate = false;
        let mut attempts_this_receive = 1;
        let answers = lease.answers;
        loop {
            let failure = match self.attempt(task, ctx, &lease, &name, &mut marker).await {
                Ok(receipt) => {
                    lease.receipt = Some(receipt);
                    let mut result = self.complete(task, ctx, lease, marker).await;
                    result.possible_duplicate |= possible_duplicate;
                    return result;
                }
                Err(failure) => failure,
            };
            possible_duplicate |= failure.certainty == Certainty::Unknown;
            lease.note(answers, &failure);
            if failure.upstream != Upstream::Deadline {
                // From now on a cut-off releases the event with these counts.
                task.set(Phase::Claimed(lease.clone()));
            }
            let situation = RetryContext {
                is_last: self.is_last(task, &lease).await,
                answers: lease.answers,
                target_works: self.target_works(task, &lease),
                ..self.situation(task, ctx, &failure, lease.attempt, attempts_this_receive)
            };
            let next = self.policy.decide(&failure, &situation, self.random.unit());
            let result = match next {
                RetryDecision::RetryNow { after } => {
                    log::retried(task, &failure, lease.attempt, after);
                    tokio::time::sleep(after).await;
                    match self.ledger.next_attempt(&lease).await {
                        Ok(next) => lease = next,
                        Err(error) => {
                            return RecordResult {
                                possible_duplicate,
                                ..self.ledger_failed(task.message, &error)
                            };
                        }
                    }
                    task.set(Phase::Claimed(lease.clone()));
                    attempts_this_receive += 1;
                    continue;
                }
                RetryDecision::Defer { after } => {
                    let code = failure.code;
                    self.release(task, &lease, code).await;
                    RecordResult::from(Outcome::Deferred { after, code })
                }
                RetryDecision::Reject { code, status } => {
                    let message = &failure.reason;
                    let reason = Rejection { code, message };
                    // Do not fetch the interaction again, because that call may be the one that failed.
                    let marker = InteractionLookup::Fetched(marker.interaction().cloned());
                    self.reject(task, ctx, &lease, marker, status, reason).await
                }
            };
            return RecordResult {
                attempt: Some(lease.attempt),
                disposition: Some(failure.disposition),
                possible_duplicate,
                ..result.with_reason(&failure.reason)
            };
        }
    }

    /// Makes one attempt: fetches the interaction unless it was fetched before, marks it, and delivers the event.
    async fn attempt(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
        name: &str,
        marker: &mut InteractionLookup,
    ) -> Result<Receipt, AttemptFailure> {
        let letter = task.letter;
        let mark = RetryMark {
            attempt: lease.attempt,
            status: RetryStatus::Retrying,
        };
        self.fetch_and_mark(task, marker, mark).await?;
        let margin = self.ledger_latency.checkpoint_margin();
        if !ctx.time.allows_delivery(margin) {
            return Err(AttemptFailure::out_of_time(
                Certainty::Refused,
                "the deadline is too near to deliver",
            ));
        }
        let delivery = Delivery {
            destination: &task.destination,
            payload: task.payload(),
            attempt_count: letter.failure.retry_attempts.saturating_add(lease.attempt),
            key: &task.key,
            name,
            maybe_delivered: lease.maybe_delivered,
            attributes: &task.attributes(),
            group: task.message.group.as_deref(),
            event_type: letter.event_type.as_deref(),
            interaction_id: letter.interaction.as_ref().map(|it| it.id.as_str()),
        };
        task.set(Phase::Delivering(lease.clone()));
        // Before the call, because the target may fail before it has answered.
        let at = self.clock.now();
        let call = self.target.deliver(&delivery);
        let Ok(delivered) = timeout_at(ctx.time.delivery_end(margin), call).await else {
            // The phase stays `Delivering`, because the target may still accept the event.
            return Err(AttemptFailure::out_of_time(
                Certainty::Unknown,
                "delivery cut off just before the deadline",
            ));
        };
        task.set(Phase::Claimed(lease.clone()));
        let delivery_id = self
            .observer(&self.circuit_breakers.target(&task.destination))
            .observe(delivered, |error| error.disposition)?;
        Ok(Receipt { delivery_id, at })
    }

    pub(super) async fn fetch_and_mark(
        &self,
        task: &RecordTask<'_>,
        marker: &mut InteractionLookup,
        mark: RetryMark,
    ) -> Result<(), AttemptFailure> {
        let watch = self.observer(&self.circuit_breakers.genesys);
        let skip = |skipped| task.skip(skipped);
        if matches!(marker, InteractionLookup::Pending) {
            let interaction = task.letter.marked_interaction();
            *marker =
                InteractionLookup::Fetched(self.retry_state.find(interaction, &watch, skip).await?);
        }
        if marker.interaction().is_some() {
            // A later mark replaces the skipped mark.
            task.take_skipped_mark();
        }
        self.retry_state
            .mark(marker.interaction(), mark, &watch, skip)
            .await?;
        Ok(())
    }

    fn observer(&self, breaker: &Breaker) -> CircuitObserver<'_> {
        CircuitObserver {
            breaker: breaker.clone(),
            clock: self.clock.as_ref(),
        }
    }

    /// Returns true if an attempt of this claim that fails now is the last one.
    pub(super) async fn is_last(&self, task: &RecordTask<'_>, lease: &Lease) -> bool {
        let max_receives = match task.message.queue_arn.as_deref() {
            Some(queue_arn) => self.queue_limits(queue_arn).await.max_receives,
            None => None,
        };
        let retried_for = self.clock.now().since(lease.retry_since);
        self.policy
            .is_last(retried_for, task.message.receive_count, max_receives)
    }

    /// Returns true if the target has accepted another event since the last failure of this event.
    fn target_works(&self, task: &RecordTask<'_>, lease: &Lease) -> bool {
        let accepted = self
            .circuit_breakers
            .target(&task.destination)
            .accepted_at();
        let failed = lease.processed;
        failed.is_some_and(|failed| accepted.is_some_and(|accepted| accepted >= failed))
    }

    /// Returns the context of a failed attempt or bookkeeping step. The caller sets `is_last`, `answers` and
    /// `target_works` if they apply.
    pub(super) fn situation(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        failure: &AttemptFailure,
        attempt: u32,
        attempts_this_receive: u32,
    ) -> RetryContext {
        let breaker = match failure.upstream {
            Upstream::Genesys | Upstream::Interaction | Upstream::LocalRateLimit => {
                self.circuit_breakers.genesys.clone()
            }
            Upstream::Target | Upstream::Deadline => {
                self.circuit_breakers.target(&task.destination)
            }
        };
        RetryContext {
            attempt,
            attempts_this_receive,
            is_last: false,
            answers: AnswerCounts::default(),
            target_works: false,
            circuit_closed: !breaker.is_open(self.clock.now()),
            max_delay_before_deadline: ctx.time.max_delay(self.ledger_latency.checkpoint_margin()),
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
        code: FailureCode,
        end: Instant,
    ) -> Aborted {
        match task.set(Phase::Unclaimed) {
            Phase::Unclaimed | Phase::Checkpointed => Aborted::NoEffect,
            Phase::Claimed(lease) => {
                // If the release times out, the event stays held until the lease ends.
                let _ = timeout_at(end, self.release(task, &lease, code)).await;
                Aborted::NoEffect
            }
            Phase::Delivering(lease) => {
                let mut lease = lease;
                lease.maybe_delivered = true;
                if code == FailureCode::OutOfTime {
                    // The target did not answer before the cut-off.
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

impl Lease {
    /// Counts a failed attempt that may be the event's fault or the target's, once per receive. `before` holds the
    /// counts of earlier receives.
    fn note(&mut self, before: AnswerCounts, failure: &AttemptFailure) {
        self.maybe_delivered |= failure.certainty == Certainty::Unknown;
        if failure.is_configuration() {
            self.answers.configuration = before.configuration.saturating_add(1);
        }
        if failure.is_unanswered() {
            self.answers.unanswered = before.unanswered.saturating_add(1);
        }
    }
}
