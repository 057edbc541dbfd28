//! Compares a plan with the ledger before a run, and resumes an earlier run.

use std::collections::VecDeque;

use genesys_replay::aws::AwsError;
use genesys_replay::queue::MAX_BATCH_ENTRIES;

use super::{Apply, ApplyError, DeadLetterSource, History, ItemState, Run, Sender};
use crate::ledger::{LedgerReader, MAX_LEDGER_KEYS};
use crate::operator::Progress;
use crate::operator::plan::{LedgerSnapshot, Plan, PlanItem, PlanSource};

/// An event whose ledger item differs from the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    pub shown: String,
    pub planned: Option<LedgerSnapshot>,
    pub now: Option<LedgerSnapshot>,
}

/// Returns the events of a plan that have changed since it was made, without those that an earlier run has begun.
pub async fn drift(
    plan: &Plan,
    history: &History,
    ledger: &impl LedgerReader,
    progress: &dyn Progress,
) -> Result<Vec<Drift>, AwsError> {
    let items = &plan.content.items;
    let mut drifted = Vec::new();
    progress.begin("comparing with the ledger", Some(items.len() as u64));
    for chunk in items.chunks(MAX_LEDGER_KEYS) {
        let is_untouched = |item: &&PlanItem| !history.states.contains_key(&item.key);
        let untouched: Vec<&PlanItem> = chunk.iter().filter(is_untouched).collect();
        let keys: Vec<&str> = untouched.iter().map(|item| item.key.as_str()).collect();
        let records = ledger.find_by_key(&keys).await?;
        drifted.extend(untouched.into_iter().filter_map(|item| {
            let now = records.get(&item.key).map(LedgerSnapshot::of);
            (now != item.ledger).then(|| Drift {
                shown: item.shown(),
                planned: item.ledger.clone(),
                now,
            })
        }));
        progress.advance(chunk.len() as u64);
    }
    progress.end();
    Ok(drifted)
}

impl<L: LedgerReader, S: DeadLetterSource, T: Sender> Apply<'_, L, S, T> {
    /// Restores the state of an earlier run. Settled items stay settled; items that may have been sent are looked up.
    pub(super) async fn resume(&mut self, run: &mut Run) -> Result<(), ApplyError> {
        let mut still_in_source = VecDeque::new();
        for (index, item) in self.plan.content.items.iter().enumerate() {
            if self.history.still_in_source.contains(&item.key) {
                still_in_source.push_back(index);
            }
            match self.history.states.get(&item.key) {
                None => run.todo.push_back(index),
                Some(ItemState::Settled { outcome, failure_code }) => {
                    run.count(outcome, failure_code.as_deref());
                }
                // The function does not work on this item, so send it again.
                Some(ItemState::Doubtful) if !self.sender.is_followed() => {
                    run.todo.push_back(index);
                }
                Some(ItemState::Sent { message_id }) => {
                    run.open.insert(index, message_id.clone());
                }
                Some(ItemState::Doubtful) => {
                    let record = self.ledger.find(&[&item.key]).await?.into_iter().next();
                    let known = item.ledger.as_ref().map(|it| &it.message_id);
                    match record.filter(|record| Some(&record.message_id) != known) {
                        Some(record) => {
                            run.open.insert(index, record.message_id);
                            still_in_source.push_back(index);
                        }
                        // Send it again in any case, because a second message of the same event does not cause a second
                        // delivery.
                        None => run.todo.push_back(index),
                    }
                }
            }
        }
        let is_parked = matches!(self.plan.content.source, PlanSource::Parking { .. });
        if !is_parked || still_in_source.is_empty() {
            return Ok(());
        }
        // Delete the messages from the parking queue that an earlier run sent and did not see deleted.
        while !still_in_source.is_empty() {
            let items = &self.plan.content.items;
            let fetched = self.source.fetch(items, &mut still_in_source, MAX_BATCH_ENTRIES).await?;
            for (index, message) in fetched {
                // A message that is not there any more was deleted.
                if message.is_ok() {
                    self.remove_from_source(run, index).await?;
                }
            }
        }
        // Release the other received messages, so that the first wave can receive them.
        self.source.release_unsent().await;
        Ok(())
    }
}
