//! The dead letters of a queue that changed or left the queue after the plan was made.
//!
//! The function receives messages of the queue while a plan waits to be applied. Such events go their own way, so the run
//! leaves them out and sends the others.

use std::collections::HashMap;

use super::resume::changes;
use super::{
    Apply, ApplyError, AuditEvent, DeadLetterSource, FetchError, Fetched, ItemState, Run, Sender,
};
use crate::ledger::LedgerReader;
use crate::operator::plan::{PlanItem, PlanSource};

const LEFT_QUEUE: &str = "the function received it since the plan was made: it left the queue, or waits for its next attempt";

impl<L: LedgerReader, S: DeadLetterSource, T: Sender> Apply<'_, L, S, T> {
    /// Leaves out the fetched dead letters of a queue that are not as planned any more. Returns the others; all of them
    /// if the plan is of another source.
    pub(super) async fn leave_out(
        &mut self,
        run: &mut Run,
        fetched: Vec<Fetched>,
    ) -> Result<Vec<Fetched>, ApplyError> {
        match self.plan.content.source {
            PlanSource::Queue { .. } => {}
            PlanSource::Archive { .. } | PlanSource::Parking { .. } => return Ok(fetched),
        }
        // An event that an earlier run may have sent has changed by that.
        let is_untouched = |item: &PlanItem| match self.history.states.get(&item.key) {
            None => true,
            Some(ItemState::Doubtful | ItemState::Sent { .. } | ItemState::Settled { .. }) => false,
        };
        let items = fetched.iter().map(|(index, _)| self.item(*index));
        let items: Vec<&PlanItem> = items.filter(|item| is_untouched(item)).collect();
        let changes = changes(&items, self.ledger).await?.into_iter();
        let changes: HashMap<String, String> = changes
            .map(|it| (it.key, format!("changed since the plan was made: {}", it.change)))
            .collect();
        let mut planned = Vec::new();
        for (index, message) in fetched {
            let change = changes.get(&self.item(index).key);
            let reason = match (&message, change) {
                (Ok(_), None) => None,
                (_, Some(change)) => Some(change.clone()),
                (Err(FetchError::Gone), None) => Some(LEFT_QUEUE.to_owned()),
                (Err(FetchError::Unreadable(_) | FetchError::Changed | FetchError::Edit), None) => {
                    None
                }
            };
            match reason {
                None => planned.push((index, message)),
                Some(reason) => {
                    let item = self.item(index);
                    // The function goes on with it.
                    self.source.release(item).await;
                    run.summary.left_out.push((item.shown(), reason.clone()));
                    let (key, reason) = (item.key.clone(), format!("left out: {reason}"));
                    self.write(AuditEvent::NotSent { key, reason })?;
                    self.progress.advance(1);
                }
            }
        }
        Ok(planned)
    }
}
