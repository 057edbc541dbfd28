//! The ledger's part of a run: the state of an item before, and the conditional write.

use genesys_replay::aws::AwsError;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::Status;

use super::{Close, Mover, Original};
use crate::ledger::{
    ClosingDecision, ExpectedItem, LedgerReader, LedgerWriter, Record, UnclaimedItem,
};
use crate::operator::plan::{ClosingKind, LedgerSnapshot, PlanItem};

/// The state of an event's ledger item, compared with the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LedgerFit {
    /// The item is as the plan froze it, and has to be written.
    Planned,
    /// The item needs no write: this plan has written it, or it has expired.
    ByThisPlan,
    Changed,
}

/// Returns the state of an item, compared with the plan.
fn standing(plan: &str, kind: ClosingKind, item: &PlanItem, record: Option<&Record>) -> LedgerFit {
    let closed = match kind {
        ClosingKind::Discard => Status::Discarded,
        ClosingKind::Restore => Status::Archived,
    };
    let is_ours =
        |record: &Record| record.status == Some(closed) && record.plan.as_deref() == Some(plan);
    match record {
        Some(record) if is_ours(record) => LedgerFit::ByThisPlan,
        None if kind == ClosingKind::Restore => LedgerFit::ByThisPlan,
        _ if record.map(LedgerSnapshot::of) == item.ledger => LedgerFit::Planned,
        Some(_) | None => LedgerFit::Changed,
    }
}

impl<L: LedgerReader, W: LedgerWriter, M: Mover + Sync> Close<'_, L, W, M> {
    pub(super) async fn standing(
        &self,
        item: &PlanItem,
    ) -> Result<(LedgerFit, Option<Record>), AwsError> {
        let record = self.ledger.find(&[&item.key]).await?.into_iter().next();
        Ok((standing(&self.plan.id, self.kind, item, record.as_ref()), record))
    }

    /// Writes the item. Returns false if it has changed since the plan was made.
    pub(super) async fn write_ledger(
        &self,
        item: &PlanItem,
        original: &Original,
    ) -> Result<bool, AwsError> {
        let decision = ClosingDecision {
            plan: &self.plan.id,
            reason: self.reason.as_deref().unwrap_or(&self.plan.content.reason),
            by: &self.by,
            now: self.clock.now(),
        };
        let key = &item.key;
        let expected = match &item.ledger {
            None => None,
            Some(planned) => {
                // A plan does not contain items with an unsupported status.
                let Some(status) = Status::parse(&planned.status) else { return Ok(false) };
                let (attempts, message_id) = (planned.attempts, planned.message_id.as_str());
                Some(ExpectedItem { status, attempts, message_id })
            }
        };
        let written = match (self.kind, expected) {
            (ClosingKind::Discard, Some(expected)) => {
                self.writer.discard(key, expected, &decision).await?
            }
            (ClosingKind::Discard, None) => {
                let new = UnclaimedItem {
                    message_id: &original.message_id,
                    category: &item.category,
                    failure_code: item.failure_code.as_deref(),
                    interaction_id: item.interaction_id.as_deref(),
                    target: &item.target,
                    first_seen: original.first_seen,
                };
                self.writer.create_discarded(key, &new, &decision).await?
            }
            (ClosingKind::Restore, Some(expected)) => {
                // Before its discard, such an event had no item. With one, the function would not deliver a repaired message
                // of the same event.
                let code = item.failure_code.as_deref().and_then(FailureCode::parse);
                code.is_some_and(FailureCode::is_without_claim)
                    && self.writer.forget_unclaimed(key).await?
                    || self.writer.restore(key, expected, &decision).await?
            }
            (ClosingKind::Restore, None) => true,
        };
        // A refused write may be our own, whose answer was lost.
        Ok(written || self.standing(item).await?.0 == LedgerFit::ByThisPlan)
    }
}
