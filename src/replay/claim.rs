//! The claim of an event: the circuits of its upstreams, the rate limit of Genesys Cloud, then one conditional write of
//! the ledger.

use std::time::Duration;

use super::circuit_breaker::{CallRefusal, Permit};
use super::decision::{Decision, Handling, MessageFacts, Rules};
use super::invocation::InvocationContext;
use super::receive_budget::is_soon_parked;
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::clock::Timestamp;
use crate::error::with_causes;
use crate::failure::{Disposition, FailureCode};
use crate::genesys::Genesys;
use crate::ledger::{
    Claim, ClaimMetadata, ClaimRequest, EventKey, ItemState, Lease, Ledger, LedgerError, ReplayNote,
};
use crate::message::Message;

impl<P: Ports> Replay<P> {
    /// Requests a permit from the breaker of every upstream.
    pub(super) fn admit(&self, task: &RecordTask<'_>) -> Result<Vec<Permit>, CallRefusal> {
        let needs_genesys = self.needed_genesys(task).is_some();
        let genesys = needs_genesys.then(|| self.circuit_breakers.genesys.clone());
        let is_replayed = !task.dead_letter.own_echo;
        let target = is_replayed.then(|| self.circuit_breakers.target(&task.destination));
        let now = self.clock.now();
        [Some(self.circuit_breakers.ledger.clone()), genesys, target]
            .into_iter()
            .flatten()
            .map(|breaker| breaker.admit(now))
            .collect()
    }

    /// Returns Genesys Cloud if the event cannot be replayed without it.
    fn needed_genesys(&self, task: &RecordTask<'_>) -> Option<&P::Genesys> {
        // An echo of our own PATCH is only archived. Other events are marked, even if nothing is delivered.
        let interaction = task.dead_letter.marked_interaction();
        self.retry_state.required_for(interaction.filter(|_| !task.dead_letter.own_echo))
    }

    /// Returns the result of a record that a circuit breaker did not admit.
    pub(super) fn not_admitted(&self, message: &Message, refusal: &CallRefusal) -> RecordResult {
        let (after, is_brief) = match refusal {
            // The backoff, because every deferral costs a receive.
            CallRefusal::Open { after, .. } => {
                ((*after).max(self.delay_by_receive_count(message)), false)
            }
            CallRefusal::Recovering { after, .. } => (after.mul_f64(self.random.unit()), true),
        };
        let code = FailureCode::BreakerOpen;
        let result = RecordResult::from(Outcome::NotAttempted { after, code });
        RecordResult { is_brief, ..result.with_reason(refusal) }
    }

    /// Returns true if the queue soon parks the message. An attempt must come first, although a circuit is open or the
    /// rate limit of Genesys Cloud is reached.
    pub(super) async fn is_soon_parked(&self, message: &Message) -> bool {
        let Some(queue_arn) = message.queue_arn.as_deref() else {
            return false;
        };
        let max_receives = self.queue_limits(queue_arn).await.max_receives;
        max_receives.is_some_and(|max_receives| is_soon_parked(message.receive_count, max_receives))
    }

    /// Returns the key under which version 0.1.0 stored the event; `None` without such an item. The event continues under
    /// this key.
    pub(super) async fn former_key(
        &self,
        task: &RecordTask<'_>,
    ) -> Result<Option<EventKey>, LedgerError> {
        for former in task.key.former(task.dead_letter.former_id.as_ref(), &task.destination) {
            let is_of_event = |item: &ItemState| former.has_item_of(&task.message.id, &item.known);
            if self.ledger.look_up(&former.key).await?.as_ref().is_some_and(is_of_event) {
                return Ok(Some(former.key));
            }
        }
        Ok(None)
    }

    /// Reserves the calls of one replay in the rate limit of Genesys Cloud, and waits for them. `Err` is the result if
    /// the wait would be too long. Nothing is reserved if the replay does without Genesys Cloud.
    pub(super) async fn reserve_calls(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<(), RecordResult> {
        let Some(genesys) = self.needed_genesys(task) else {
            return Ok(());
        };
        let max_wait = ctx.time.max_delay(self.ledger_latency.checkpoint_margin());
        genesys.reserve_replay(max_wait).await.map_err(|after| {
            let code = FailureCode::GenesysRateLimited;
            RecordResult::from(Outcome::NotAttempted { after, code })
                .with_reason("locally throttled to stay within Genesys Cloud's rate limit")
        })
    }

    /// Claims an event, and begins its next round if the message reports that its delivery failed later. `Err` is the
    /// result of a record whose event was not claimed.
    pub(super) async fn claim_event(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<(Lease, Handling), RecordResult> {
        let decision = self.claim_and_decide(task, ctx).await?;
        let round = match decision {
            Decision::BeginRound(round) => round,
            Decision::EarlierDelivery => return self.claim_of_earlier_delivery(task, ctx).await,
            decision @ (Decision::Handle(..)
            | Decision::Duplicate
            | Decision::Return(_)
            | Decision::Delayed { .. }
            | Decision::Held { .. }
            | Decision::Changed) => return self.claimed(task, decision),
        };
        let delay =
            if round.is_rejected { Duration::ZERO } else { self.policy.round_delay(round.round) };
        let not_before = self.clock.now().plus(delay);
        let request = self.claim_request(task, ctx);
        let call = self.ledger.begin_round(&request, &round.accepted, not_before);
        let begun = self.ledger_latency.measure(call).await;
        begun.map_err(|error| self.ledger_failed(task.message, &error))?;
        self.circuit_breakers.target(&task.destination).failed(self.clock.now(), None);
        if !round.is_rejected {
            return Err(self.round_follows(round.round, not_before));
        }
        // Claim the event once more, only to reject it.
        let decision = self.claim_and_decide(task, ctx).await?;
        self.claimed(task, decision)
    }

    async fn claim_and_decide(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<Decision<Lease>, RecordResult> {
        let claim = self.claim(task, &self.claim_request(task, ctx)).await;
        let claim = claim.map_err(|error| self.ledger_failed(task.message, &error))?;
        Ok(self.rules().decide(&self.facts(task), claim))
    }

    /// Returns the claimed event with its handling, or the result of a record whose event was not claimed.
    fn claimed(
        &self,
        task: &RecordTask<'_>,
        decision: Decision<Lease>,
    ) -> Result<(Lease, Handling), RecordResult> {
        Err(match decision {
            Decision::Handle(lease, handling) => return Ok((lease, handling)),
            Decision::Duplicate => Outcome::Duplicate.into(),
            Decision::Return(code) => RecordResult::from(Outcome::Returned { code })
                .with_reason("the event was rejected before"),
            Decision::Delayed { round, until } => self.round_follows(round, until),
            Decision::Held { until } => self.held(until),
            // The item has changed since it was read; the next receive compares again.
            Decision::BeginRound(_) | Decision::EarlierDelivery | Decision::Changed => {
                self.ledger_failed(task.message, &LedgerError::LeaseLost)
            }
        })
    }

    /// Returns the result of a record whose event another worker holds.
    pub(super) fn held(&self, until: Timestamp) -> RecordResult {
        let after = until.since(self.clock.now());
        let code = FailureCode::HeldElsewhere;
        let held = RecordResult::from(Outcome::Deferred { after, code })
            .with_reason("another worker holds the event");
        RecordResult { is_brief: true, ..held }
    }

    /// Claims the event of a failure record about an earlier delivery. The record is a duplicate, unless the
    /// bookkeeping of the current delivery is unfinished: the same message may have caused the current delivery.
    async fn claim_of_earlier_delivery(
        &self,
        task: &RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> Result<(Lease, Handling), RecordResult> {
        let request = ClaimRequest { is_failure_record: false, ..self.claim_request(task, ctx) };
        Err(match self.claim(task, &request).await {
            Ok(Claim::Acquired(lease)) if lease.delivered.is_some() => {
                return Ok((lease, Handling::Complete));
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
        let request = ClaimRequest { ignores_delay: true, ..self.claim_request(task, ctx) };
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
        self.circuit_breakers.ledger.observer(self.clock.as_ref()).observe(claim, |error| {
            match error {
                LedgerError::Unavailable(_) => Disposition::Transient { after: None },
                // The ledger is available, because it answered.
                LedgerError::Unreadable(_) | LedgerError::LeaseLost => Disposition::Permanent,
            }
        })
    }

    fn claim_request<'w>(
        &self,
        task: &'w RecordTask<'_>,
        ctx: InvocationContext<'_>,
    ) -> ClaimRequest<'w> {
        let (message, dead_letter) = (task.message, task.dead_letter);
        let terms = self.rules().claim_terms(&self.facts(task));
        ClaimRequest {
            key: &task.key,
            owner: format!("{}/{}", ctx.request_id, message.id),
            now: terms.now,
            lease_until: ctx.lease_until,
            reopen: terms.reopen,
            is_failure_record: terms.is_failure_record,
            ignores_delay: terms.ignores_delay,
            about: ClaimMetadata {
                message_id: &message.id,
                interaction_id: dead_letter.interaction.as_ref().map(|it| it.id.as_str()),
                category: dead_letter.failure.category().as_str(),
                target: &task.target,
                event_type: dead_letter.event_type.as_deref(),
                original_target: dead_letter.failure.original_target(),
                replay: ReplayNote::of(message),
            },
        }
    }

    pub(super) fn rules(&self) -> Rules {
        self.policy.rules(self.archive.is_some())
    }

    pub(super) fn facts<'t>(&self, task: &'t RecordTask<'_>) -> MessageFacts<'t> {
        MessageFacts {
            message: task.message,
            dead_letter: task.dead_letter,
            destination: &task.destination,
            now: self.clock.now(),
        }
    }

    /// Returns true if the dead letter is archived without a claim.
    pub(super) fn is_archived_unclaimed(&self, task: &RecordTask<'_>) -> bool {
        self.rules().archived_unclaimed(&self.facts(task)).is_some()
    }
}
