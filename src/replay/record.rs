//! The handling of one dead letter in one receive, step by step.

use super::archiving::Rejection;
use super::attempt::{AttemptsEnd, FailedDelivery};
use super::decision::{Handling, OldTarget};
use super::invocation::InvocationContext;
use super::phase::{Phase, Step};
use super::task::RecordTask;
use super::{Ports, RecordResult, Replay};
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
        if self.is_archived_unclaimed(task) {
            let archiving = self.archive_malformed(task);
            return self.step(ctx, unclaimed, archiving).await;
        }
        let _permits = match self.admit(task) {
            Ok(permits) => permits,
            Err(refusal) => {
                if !self.step(ctx, unclaimed, self.is_soon_parked(task.message)).await? {
                    return Ok(self.not_admitted(task.message, &refusal));
                }
                Vec::new()
            }
        };
        if let Err(limited) = self.step(ctx, unclaimed, self.reserve_calls(task, ctx)).await?
            && !self.step(ctx, unclaimed, self.is_soon_parked(task.message)).await?
        {
            return Ok(limited);
        }
        let former = match self.step(ctx, unclaimed, self.former_key(task)).await? {
            Ok(key) => key.map(|key| task.with_key(key)),
            Err(error) => return Ok(self.ledger_failed(task.message, &error)),
        };
        let task = former.as_ref().unwrap_or(task);
        let old = match self.step(ctx, unclaimed, self.at_old_target(task)).await? {
            Ok(old) => old,
            Err(error) => return Ok(self.ledger_failed(task.message, &error)),
        };
        let key = match old {
            None => None,
            Some((_, OldTarget::Has)) => return Ok(Self::old_target_has(task)),
            Some((_, OldTarget::Held { until })) => return Ok(self.held(until)),
            Some((key, OldTarget::Unfinished)) => Some(key),
        };
        let dead_letter = task.dead_letter_for_destination();
        let redirected = task.redirected(key, &dead_letter);
        let task = redirected.as_ref().unwrap_or(task);
        let claiming = self.claim_event(task, ctx);
        let (lease, handling) = match self.step(ctx, unclaimed, claiming).await? {
            Ok(claimed) => claimed,
            Err(result) => return Ok(result),
        };
        let claimed = || Phase::claimed(&lease);
        match handling {
            Handling::ArchiveOwnEcho => {
                let archiving = self.archive_own_echo(task, &lease);
                self.step(ctx, claimed, archiving).await
            }
            Handling::Complete => self.complete(task, ctx, lease.into()).await,
            Handling::RejectAfterRounds => {
                let rejecting = self.reject_after_rounds(task, ctx, &lease);
                self.step(ctx, claimed, rejecting).await
            }
            Handling::RejectStale => {
                let rejecting = self.reject_stale(task, ctx, &lease);
                self.step(ctx, claimed, rejecting).await
            }
            Handling::Deliver => self.deliver(task, ctx, lease).await,
        }
    }

    async fn deliver(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        lease: Lease,
    ) -> Step<RecordResult> {
        match self.attempts(task, ctx, lease).await? {
            AttemptsEnd::Accepted(delivery) => self.complete(task, ctx, *delivery).await,
            AttemptsEnd::Deferred(result) => Ok(*result),
            AttemptsEnd::Rejected(failed) => self.reject_failed(task, ctx, *failed).await,
        }
    }

    async fn reject_failed(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
        failed: FailedDelivery,
    ) -> Step<RecordResult> {
        let FailedDelivery { lease, marker, failure, code, status, lost_answer } = failed;
        let reason = Rejection { code, message: &failure.reason };
        // Do not fetch the interaction again, because that call may be the one that failed.
        let marker = marker.without_fetch();
        let rejecting = self.reject(task, ctx, &lease, marker, status, reason);
        let rejected = self.step(ctx, || Phase::claimed(&lease), rejecting).await;
        let result = rejected.map_err(|it| it.with_lost_answer(lost_answer))?;
        Ok(RecordResult {
            attempt: Some(lease.attempt),
            disposition: Some(failure.disposition),
            possible_duplicate: lost_answer,
            ..result.with_reason(&failure.reason)
        })
    }
}
