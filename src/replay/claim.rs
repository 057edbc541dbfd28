//! The claim of an event: the circuits of its upstreams, then one conditional write of the ledger.

use std::time::Duration;

use super::circuit_breaker::Permit;
use super::invocation::InvocationContext;
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::error::with_causes;
use crate::failure::{Disposition, FailureCode};
use crate::ledger::{Claim, ClaimMetadata, ClaimRequest, Lease, Ledger, LedgerError, ReopenPolicy};

/// A claimed event with the work that is left, or the result of a record without such an event.
pub(super) enum Claimed {
    /// The record has ended.
    Ended(RecordResult),
    /// The event only reports our own mark.
    OwnEcho(Lease),
    /// The target accepted the event in an earlier receive, and only the bookkeeping is left.
    Delivered(Lease),
    /// The target accepted the event and failed later in each of the allowed rounds.
    RoundsExceeded(Lease),
    /// The event is to be delivered.
    Open(Lease),
}

impl<P: Ports> Replay<P> {
    /// Requests a permit from the breaker of every upstream; `Err` is the result if a circuit is open.
    pub(super) fn admit(&self, task: &RecordTask<'_>) -> Result<Vec<Permit>, RecordResult> {
        // An echo of our own PATCH is only archived. Other events are marked, even if nothing is delivered.
        let is_replayed = !task.letter.own_echo;
        let interaction = task.letter.marked_interaction().filter(|_| is_replayed);
        let needs_genesys = self.retry_state.is_needed_for(interaction);
        let genesys = needs_genesys.then(|| self.circuit_breakers.genesys.clone());
        let target = is_replayed.then(|| self.circuit_breakers.target(&task.destination));
        let now = self.clock.now();
        let permits: Result<Vec<Permit>, _> =
            [Some(self.circuit_breakers.ledger.clone()), genesys, target]
                .into_iter()
                .flatten()
                .map(|breaker| breaker.admit(now))
                .collect();
        permits.map_err(|refusal| {
            // Every deferral costs a receive. Use the backoff so that a long outage does not exhaust
            // `maxReceiveCount`.
            let after = refusal.after.max(self.delay_by_receive_count(task.message));
            let code = FailureCode::BreakerOpen;
            RecordResult::from(Outcome::NotAttempted { after, code }).with_reason(&refusal)
        })
    }

    /// Claims an event, and begins its next round if the message reports that its delivery failed later.
    pub(super) async fn claim_event(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Claimed {
        let message = task.message;
        let mut claim = self.claim(task, &self.claim_request(task, ctx)).await;
        if let (Ok(Claim::Delivered(accepted)), Some(report)) = (&claim, task.report()) {
            if !report.is_about(accepted, &task.destination, message.id.as_str()) {
                return self.claim_of_earlier_delivery(task, ctx).await;
            }
            let round = accepted.round.saturating_add(1);
            let exceeds = self.policy.exceeds_rounds(round);
            let delay = if exceeds {
                Duration::ZERO
            } else {
                self.policy.round_delay(round)
            };
            let not_before = self.clock.now().plus(delay);
            let request = self.claim_request(task, ctx);
            let call = self.ledger.begin_round(&request, accepted, not_before);
            if let Err(error) = self.ledger_latency.measure(call).await {
                return Claimed::Ended(self.ledger_failed(message, &error));
            }
            self.circuit_breakers
                .target(&task.destination)
                .failed(self.clock.now(), None);
            if !exceeds {
                return Claimed::Ended(self.round_follows(round, not_before));
            }
            // Claim the event once more, only to reject it.
            claim = self.claim(task, &self.claim_request(task, ctx)).await;
        }
        let ended = match claim {
            Ok(Claim::Acquired(lease)) if task.letter.own_echo => return Claimed::OwnEcho(lease),
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                return Claimed::Delivered(lease);
            }
            Ok(Claim::Acquired(lease)) if self.policy.exceeds_rounds(lease.round) => {
                return Claimed::RoundsExceeded(lease);
            }
            Ok(Claim::Acquired(lease)) => return Claimed::Open(lease),
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
        };
        Claimed::Ended(ended)
    }

    /// Claims the event of a failure record about an earlier delivery. The record is a duplicate, unless the
    /// bookkeeping of the current delivery is unfinished: the same message may have caused the current delivery.
    async fn claim_of_earlier_delivery(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Claimed {
        let request = ClaimRequest {
            is_failure_record: false,
            ..self.claim_request(task, ctx)
        };
        Claimed::Ended(match self.claim(task, &request).await {
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                return Claimed::Delivered(lease);
            }
            Ok(Claim::AlreadyDone) => RecordResult::from(Outcome::Duplicate)
                .with_reason("the failure record is about an earlier delivery"),
            Ok(Claim::Acquired(lease)) => {
                // The item has changed since it was read; the next receive compares again.
                self.release(task, &lease, FailureCode::HeldElsewhere).await;
                self.ledger_failed(task.message, &LedgerError::LeaseLost)
            }
            Ok(
                Claim::HeldUntil(_)
                | Claim::Delayed { .. }
                | Claim::Delivered(_)
                | Claim::PreviouslyRejected(_),
            ) => self.ledger_failed(task.message, &LedgerError::LeaseLost),
            Err(error) => self.ledger_failed(task.message, &error),
        })
    }

    /// Claims an event without the delay of its round, because SQS is about to delete its message.
    pub(super) async fn claim_at_once(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<Claim, LedgerError> {
        let request = ClaimRequest {
            ignores_delay: true,
            ..self.claim_request(task, ctx)
        };
        self.claim(task, &request).await
    }

    async fn claim(
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
        self.circuit_breakers
            .ledger
            .observer(self.clock.as_ref())
            .observe(claim, |error| match error {
                LedgerError::Unavailable(_) => Disposition::Transient { after: None },
                // The ledger is available, because it answered.
                LedgerError::Unreadable(_) | LedgerError::LeaseLost => Disposition::Permanent,
            })
    }

    fn claim_request<'w>(
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
}
