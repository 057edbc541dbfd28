//! The handling of one dead letter in one receive, step by step.

use super::archiving::Rejection;
use super::attempt::AttemptsEnd;
use super::claim::Claimed;
use super::invocation::InvocationContext;
use super::phase::{Phase, Step};
use super::task::RecordTask;
use super::{Ports, RecordResult, Replay};
use crate::failure::FailureCode;
use crate::ledger::Lease;

impl<P: Ports> Replay<P> {
    /// Takes an event as far as possible in this receive, and cleans up after an interruption.
    pub(super) async fn process(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> RecordResult {
        match self.steps(task, ctx).await {
            Ok(result) => result,
            Err(interrupted) => self.clean_up(task, ctx, interrupted).await,
        }
    }

    async fn steps(&self, task: &RecordTask<'_>, ctx: InvocationContext<'_>) -> Step<RecordResult> {
        let unclaimed = || Phase::Unclaimed;
        if self.is_archived_as_malformed(task) {
            return self
                .step(ctx, unclaimed, self.archive_malformed(task))
                .await;
        }
        let _permits = match self.admit(task) {
            Ok(permits) => permits,
            Err(not_attempted) => return Ok(not_attempted),
        };
        let claimed = self
            .step(ctx, unclaimed, self.claim_event(task, ctx))
            .await?;
        match claimed {
            Claimed::Ended(result) => Ok(result),
            Claimed::OwnEcho(lease) => {
                let archiving = self.archive_own_echo(task, &lease);
                self.step(ctx, || Phase::claimed(&lease), archiving).await
            }
            Claimed::Delivered(lease) => self.complete(task, ctx, lease.into()).await,
            Claimed::RoundsExceeded(lease) => {
                let rejecting = self.reject_after_rounds(task, ctx, &lease);
                self.step(ctx, || Phase::claimed(&lease), rejecting).await
            }
            Claimed::Open(lease) => self.deliver_or_reject(task, ctx, lease).await,
        }
    }

    /// Delivers a claimed event, unless it ended under another key or is too old.
    async fn deliver_or_reject(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: Lease,
    ) -> Step<RecordResult> {
        let claimed = || Phase::claimed(&lease);
        if lease.is_in_first_round() {
            let former = self.step(ctx, claimed, self.former_end(task, &lease));
            match former.await? {
                Ok(None) => {}
                Ok(Some(result)) => return Ok(result),
                Err(error) => {
                    let code = FailureCode::LedgerUnavailable;
                    self.step(ctx, claimed, self.release(task, &lease, code))
                        .await?;
                    return Ok(self.ledger_failed(task.message, &error));
                }
            }
        }
        if self.is_stale(task) {
            let rejecting = self.reject_stale(task, ctx, &lease);
            return self.step(ctx, claimed, rejecting).await;
        }
        match self.attempts(task, ctx, lease).await? {
            AttemptsEnd::Accepted(delivery) => self.complete(task, ctx, *delivery).await,
            AttemptsEnd::Deferred(result) => Ok(*result),
            AttemptsEnd::Rejected(failed) => {
                let reason = Rejection {
                    code: failed.code,
                    message: &failed.failure.reason,
                };
                // Do not fetch the interaction again, because that call may be the one that failed.
                let marker = failed.marker.without_fetch();
                let rejecting =
                    self.reject(task, ctx, &failed.lease, marker, failed.status, reason);
                let claimed = || Phase::Claimed {
                    lease: Box::new(failed.lease.clone()),
                    lost_answer: failed.lost_answer,
                };
                let result = self.step(ctx, claimed, rejecting).await?;
                Ok(RecordResult {
                    attempt: Some(failed.lease.attempt),
                    disposition: Some(failed.failure.disposition),
                    possible_duplicate: failed.lost_answer,
                    ..result.with_reason(&failed.failure.reason)
                })
            }
        }
    }

    /// Returns true if the event is too old to be delivered, and an operator did not ask for its delivery.
    fn is_stale(&self, task: &RecordTask<'_>) -> bool {
        let is_wanted = task.message.replay_plan().is_some();
        !is_wanted && self.policy.is_stale(task.letter.time, self.clock.now())
    }
}
