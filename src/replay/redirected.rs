//! Events that are redirected from an old target: the old target may have the event.

use super::decision::{MessageFacts, OldTarget};
use super::task::RecordTask;
use super::{Outcome, Ports, RecordResult, Replay};
use crate::ledger::{EventKey, Ledger, LedgerError};

impl<P: Ports> Replay<P> {
    /// Returns the ledger's answer about the event at its old target, with the key there. `None` if the event is not
    /// redirected, or if the old target does not have it.
    pub(super) async fn at_old_target(
        &self,
        task: &RecordTask<'_>,
    ) -> Result<Option<(EventKey, OldTarget)>, LedgerError> {
        let Some(from) = &task.redirected_from else {
            return Ok(None);
        };
        let current = task.key.at(from);
        let facts = MessageFacts { destination: from, ..self.facts(task) };
        for known in current.with_former(task.dead_letter.former_id.as_ref(), from) {
            let item = self.ledger.look_up(&known.key).await?;
            let item = item.filter(|item| known.has_item_of(&task.message.id, &item.known));
            let Some(item) = item else {
                continue;
            };
            if let Some(answer) = self.rules().at_old_target(&facts, &item)? {
                return Ok(Some((known.key, answer)));
            }
        }
        Ok(None)
    }

    /// Returns the result of a message whose event the old target has.
    pub(super) fn old_target_has(task: &RecordTask<'_>) -> RecordResult {
        let from = task.redirected_from.as_ref().map(ToString::to_string).unwrap_or_default();
        let reason = format!("the ledger has the event as finished at its old target {from}");
        RecordResult::from(Outcome::Duplicate).with_reason(&reason)
    }
}
