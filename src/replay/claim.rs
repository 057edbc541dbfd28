//! The claim of an event: the circuits of its upstreams, then one conditional write of the ledger.

use super::circuit_breaker::{OpenBreaker, Permit};
use super::task::{InvocationContext, RecordTask};
use super::{Ports, Replay};
use crate::error::with_causes;
use crate::failure::Disposition;
use crate::ledger::{Claim, ClaimMetadata, ClaimRequest, Ledger, LedgerError, ReopenPolicy};

impl<P: Ports> Replay<P> {
    /// Requests a permit from the breaker of every upstream; `Err` is the first open circuit.
    pub(super) fn admit(&self, task: &RecordTask<'_>) -> Result<Vec<Permit>, OpenBreaker> {
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
}
