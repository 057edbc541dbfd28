//! The attempts of one receive: fetch, mark, deliver, decide.

use tokio::time::timeout_at;

use super::invocation::InvocationContext;
use super::marking::Marker;
use super::phase::{Phase, Step};
use super::retry_policy::{AttemptFailure, RetryContext, RetryDecision};
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay, log};
use crate::failure::{Certainty, FailureCode, Receipt};
use crate::genesys::{RetryMark, RetryStatus};
use crate::ledger::{AnswerCounts, Lease, Ledger};
use crate::target::{Delivery, DeliveryProgress, Target};

/// The end of the attempts of one receive.
pub(super) enum AttemptsEnd {
    Accepted(Box<AcceptedDelivery>),
    Deferred(Box<RecordResult>),
    Rejected(Box<FailedDelivery>),
}

/// An event that its target has accepted.
pub(super) struct AcceptedDelivery {
    pub(super) lease: Lease,
    pub(super) marker: Marker,
    /// True if the answer to an earlier attempt of this receive was lost.
    pub(super) lost_answer: bool,
}

impl From<Lease> for AcceptedDelivery {
    /// Returns a delivery of an earlier receive.
    fn from(lease: Lease) -> Self {
        Self { lease, marker: Marker::Pending, lost_answer: false }
    }
}

/// An event whose last attempt has failed.
pub(super) struct FailedDelivery {
    pub(super) lease: Lease,
    pub(super) marker: Marker,
    pub(super) failure: AttemptFailure,
    /// The reason for the rejection.
    pub(super) code: FailureCode,
    /// The final mark.
    pub(super) status: RetryStatus,
    /// True if the answer to an attempt of this receive was lost.
    pub(super) lost_answer: bool,
}

impl<P: Ports> Replay<P> {
    /// Makes attempts until one succeeds or the policy ends them.
    pub(super) async fn attempts(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        mut lease: Lease,
    ) -> Step<AttemptsEnd> {
        let mut marker = Marker::Pending;
        let name = task.delivery_name(&lease);
        let mut lost_answer = false;
        let mut attempts_this_receive = 1;
        let answers = lease.answers;
        loop {
            let attempt = self.attempt(task, ctx, &lease, &name, &mut marker).await;
            let failure = match attempt.map_err(|it| it.with_lost_answer(lost_answer))? {
                Ok(receipt) => {
                    lease.receipt = Some(receipt);
                    return Ok(AttemptsEnd::Accepted(Box::new(AcceptedDelivery {
                        lease,
                        marker,
                        lost_answer,
                    })));
                }
                Err(failure) => failure,
            };
            lost_answer |= failure.certainty == Certainty::Unknown;
            lease.note(answers, &failure);
            let claimed =
                |lease: &Lease| Phase::Claimed { lease: Box::new(lease.clone()), lost_answer };
            let situation = RetryContext {
                is_last: self.step(ctx, || claimed(&lease), self.is_last(task, &lease)).await?,
                answers: lease.answers,
                target_works: self.target_works(task, &lease),
                ..self.situation(task, ctx, &failure, lease.attempt, attempts_this_receive)
            };
            let result = match self.policy.decide(&failure, &situation, self.random.unit()) {
                RetryDecision::RetryNow { after } => {
                    log::retried(task, &failure, lease.attempt, after);
                    let next_attempt = async {
                        tokio::time::sleep(after).await;
                        self.ledger.next_attempt(&lease).await
                    };
                    match self.step(ctx, || claimed(&lease), next_attempt).await? {
                        Ok(next) => {
                            lease = next;
                            attempts_this_receive += 1;
                            continue;
                        }
                        Err(error) => self.ledger_failed(task.message, &error),
                    }
                }
                RetryDecision::Defer { after } => {
                    let code = failure.code;
                    // A failed probe does not return sooner than the messages that were not attempted.
                    let after = if situation.circuit_closed {
                        after
                    } else {
                        after.max(self.delay_by_receive_count(task.message))
                    };
                    let release = self.release(task, &lease, code);
                    self.step(ctx, || claimed(&lease), release).await?;
                    RecordResult {
                        attempt: Some(lease.attempt),
                        disposition: Some(failure.disposition),
                        ..RecordResult::from(Outcome::Deferred { after, code })
                            .with_reason(&failure.reason)
                    }
                }
                RetryDecision::Reject { code, status } => {
                    return Ok(AttemptsEnd::Rejected(Box::new(FailedDelivery {
                        lease,
                        marker,
                        failure,
                        code,
                        status,
                        lost_answer,
                    })));
                }
            };
            return Ok(AttemptsEnd::Deferred(Box::new(RecordResult {
                possible_duplicate: lost_answer,
                ..result
            })));
        }
    }

    /// Makes one attempt: fetches the interaction unless it was fetched before, marks it, and delivers the event.
    async fn attempt(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: &Lease,
        name: &str,
        marker: &mut Marker,
    ) -> Step<Result<Receipt, AttemptFailure>> {
        let dead_letter = task.dead_letter;
        let mark = RetryMark { attempt: lease.attempt, status: RetryStatus::Retrying };
        let marking = self.fetch_and_mark(task, marker, mark);
        if let Err(failure) = self.step(ctx, || Phase::claimed(lease), marking).await? {
            return Ok(Err(failure));
        }
        let margin = self.ledger_latency.checkpoint_margin();
        if !ctx.time.allows_delivery(margin) {
            return Ok(Err(AttemptFailure::out_of_time(
                Certainty::Refused,
                "the deadline is too near to deliver",
            )));
        }
        let progress = DeliveryProgress::default();
        let delivery = Delivery {
            destination: &task.destination,
            payload: task.payload(),
            attempt_count: dead_letter.failure.retry_attempts.saturating_add(lease.attempt),
            key: &task.key,
            name,
            maybe_delivered: lease.maybe_delivered,
            attributes: &task.attributes(),
            group: task.group(),
            event_source: task
                .call()
                .and_then(|call| call.event.as_ref())
                .map(|event| event.source.as_str()),
            event_type: dead_letter.event_type.as_deref(),
            interaction_id: dead_letter.interaction.as_ref().map(|it| it.id.as_str()),
            rule_target: task.rule_target(),
            progress: &progress,
        };
        // Before the call, because the target may fail before it has answered.
        let at = self.clock.now();
        let call = self.target.deliver(&delivery);
        let call = timeout_at(ctx.time.delivery_end(margin), call);
        let delivering = || Phase::Delivering(Box::new(lease.clone()));
        let Ok(delivered) = self.step(ctx, delivering, call).await? else {
            return Ok(Err(AttemptFailure::out_of_time(
                progress.certainty_when_cut_off(),
                "delivery cut off just before the deadline",
            )));
        };
        let observed = match delivered {
            // Not an answer of the target.
            Err(error) if error.locally_throttled => Err(error),
            delivered => {
                let breaker = self.circuit_breakers.target(&task.destination);
                let observer = breaker.observer(self.clock.as_ref());
                observer.observe(delivered, |error| error.disposition)
            }
        };
        Ok(match observed {
            Ok(delivery_id) => Ok(Receipt { delivery_id, at }),
            Err(error) => Err(error.into()),
        })
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
