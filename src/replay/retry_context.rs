//! The context of a failed attempt, for the retry policy.

use super::invocation::InvocationContext;
use super::retry_policy::{AttemptFailure, RetryContext, Upstream};
use super::task::RecordTask;
use super::{Ports, Replay};
use crate::ledger::{AnswerCounts, Lease};

impl<P: Ports> Replay<P> {
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

    /// Returns true if an attempt of this claim that fails now is the last one.
    pub(super) async fn is_last(&self, task: &RecordTask<'_>, lease: &Lease) -> bool {
        let max_receives = match task.message.queue_arn.as_deref() {
            Some(queue_arn) => self.queue_limits(queue_arn).await.max_receives,
            None => None,
        };
        let retried_for = self.clock.now().since(lease.retry_since);
        self.policy.is_last(retried_for, task.message.receive_count, max_receives)
    }

    /// Returns true if the target has accepted another event since the last failure of this event.
    pub(super) fn target_works(&self, task: &RecordTask<'_>, lease: &Lease) -> bool {
        let accepted = self.circuit_breakers.target(&task.destination).accepted_at();
        let failed = lease.processed;
        failed.is_some_and(|failed| accepted.is_some_and(|accepted| accepted >= failed))
    }
}
