//! The attempts of one receive: fetch, mark, deliver, decide.

use tokio::time::timeout_at;

use super::reject::Rejection;
use super::retry_policy::{AttemptFailure, RetryContext, RetryDecision, Upstream};
use super::task::{InteractionLookup, InvocationContext, Phase, RecordTask};
use super::{Outcome, Ports, RecordResult, Replay, log};
use crate::failure::{Certainty, Receipt};
use crate::genesys::{RetryMark, RetryStatus};
use crate::ledger::{AnswerCounts, Lease, Ledger};
use crate::target::{Delivery, Target};

impl<P: Ports> Replay<P> {
    /// Makes attempts until one succeeds or the policy ends them.
    pub(super) async fn attempts(
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
    pub(super) fn target_works(&self, task: &RecordTask<'_>, lease: &Lease) -> bool {
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
