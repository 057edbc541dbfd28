//! Resumes an earlier run.

use std::collections::VecDeque;

use genesys_replay::queue::MAX_BATCH_ENTRIES;

use super::{Apply, ApplyError, Letters, Run, Sender, State};
use crate::ledger::LedgerReader;
use crate::operator::plan::Source;

impl<L: LedgerReader, S: Letters, T: Sender> Apply<'_, L, S, T> {
    /// Restores the state of an earlier run. Settled items stay settled; items that may have been sent are looked up.
    pub(super) async fn take_up(&mut self, run: &mut Run) -> Result<(), ApplyError> {
        let mut lingering = VecDeque::new();
        for (index, item) in self.plan.content.items.iter().enumerate() {
            if self.history.lingering.contains(&item.key) {
                lingering.push_back(index);
            }
            match self.history.states.get(&item.key) {
                None => run.todo.push_back(index),
                Some(State::Settled {
                    outcome,
                    failure_code,
                }) => {
                    run.count(outcome, failure_code.as_deref());
                }
                // The function does not work on this item, so send it again.
                Some(State::Doubtful) if !self.sender.is_followed() => run.todo.push_back(index),
                Some(State::Sent { message_id }) => {
                    run.open.insert(index, message_id.clone());
                }
                Some(State::Doubtful) => {
                    let record = self.ledger.find(&[&item.key]).await?.into_iter().next();
                    let known = item.ledger.as_ref().map(|it| &it.message_id);
                    match record.filter(|record| Some(&record.message_id) != known) {
                        Some(record) => {
                            run.open.insert(index, record.message_id);
                            lingering.push_back(index);
                        }
                        // Send it again in any case, because a second message of the same event does not cause a second
                        // delivery.
                        None => run.todo.push_back(index),
                    }
                }
            }
        }
        let is_parked = matches!(self.plan.content.source, Source::Parking { .. });
        if !is_parked || lingering.is_empty() {
            return Ok(());
        }
        // Delete the messages from the parking queue that an earlier run sent and did not see deleted.
        while !lingering.is_empty() {
            let items = &self.plan.content.items;
            let fetched = self
                .letters
                .fetch(items, &mut lingering, MAX_BATCH_ENTRIES)
                .await?;
            for (index, message) in fetched {
                // A message that is not there any more was deleted.
                if message.is_ok() {
                    self.left(run, index).await?;
                }
            }
        }
        // Release the other received messages, so that the first wave can receive them.
        self.letters.close().await;
        Ok(())
    }
}
