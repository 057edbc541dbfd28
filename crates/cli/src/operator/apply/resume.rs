//! Compares a plan with the ledger before a run, and resumes an earlier run.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use genesys_replay::aws::AwsError;
use genesys_replay::queue::MAX_BATCH_ENTRIES;

use super::{Apply, ApplyError, DeadLetterSource, History, ItemState, Run, Sender};
use crate::ledger::{LedgerReader, MAX_LEDGER_KEYS};
use crate::operator::Progress;
use crate::operator::plan::{LedgerSnapshot, Location, Plan, PlanItem, PlanSource};

/// An event whose ledger item differs from the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The key of the plan's item.
    pub key: String,
    pub shown: String,
    pub change: LedgerChange,
}

/// The difference between a plan and the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerChange {
    /// The event's item has changed.
    Item { planned: Option<LedgerSnapshot>, now: Option<LedgerSnapshot> },
    /// The plan redirects the event, and its old target has it by now, or an operator discarded it.
    ClosedAtOldTarget(LedgerSnapshot),
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
        drifted.extend(changes(&untouched, ledger).await?);
        progress.advance(chunk.len() as u64);
    }
    progress.end();
    Ok(drifted)
}

/// Returns the changes of items in the ledger since the plan was made.
pub(super) async fn changes(
    items: &[&PlanItem],
    ledger: &impl LedgerReader,
) -> Result<Vec<Drift>, AwsError> {
    let keys: Vec<&str> = items.iter().map(|item| item.key.as_str()).collect();
    let records = if keys.is_empty() { HashMap::new() } else { ledger.find_by_key(&keys).await? };
    let changed = items.iter().filter_map(|item| {
        let now = records.get(&item.key).map(LedgerSnapshot::of);
        (now != item.ledger).then(|| Drift {
            key: item.key.clone(),
            shown: item.shown(),
            change: LedgerChange::Item { planned: item.ledger.clone(), now },
        })
    });
    let mut changed: Vec<Drift> = changed.collect();
    // The redirected events that their old targets have by now.
    let old = items.iter().filter_map(|item| Some((item.old_key()?, *item)));
    let old: HashMap<String, &PlanItem> = old.collect();
    let keys: Vec<&str> = old.keys().map(String::as_str).collect();
    let records = if keys.is_empty() { HashMap::new() } else { ledger.find_by_key(&keys).await? };
    for (key, record) in records.iter().filter(|(_, record)| record.is_closed()) {
        changed.extend(old.get(key).map(|item| Drift {
            key: item.key.clone(),
            shown: record.event_at_target(),
            change: LedgerChange::ClosedAtOldTarget(LedgerSnapshot::of(record)),
        }));
    }
    Ok(changed)
}

impl fmt::Display for LedgerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |it: &LedgerSnapshot| format!("{} after {} attempts", it.status, it.attempts);
        let of_item = |it: &Option<LedgerSnapshot>| {
            it.as_ref().map_or_else(|| "not in the ledger".to_owned(), state)
        };
        match self {
            Self::Item { planned, now } => write!(f, "{}, now {}", of_item(planned), of_item(now)),
            Self::ClosedAtOldTarget(now) => write!(f, "closed at the old target, {}", state(now)),
        }
    }
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
                    // The function may have received the original from the queue. Then the item does not show a copy.
                    let original = match &item.place {
                        Location::Message { message_id } => Some(message_id),
                        Location::Object { .. } => None,
                    };
                    let known = item.ledger.as_ref().map(|it| &it.message_id);
                    let is_copy = |id: &String| Some(id) != known && Some(id) != original;
                    match record.filter(|record| is_copy(&record.message_id)) {
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
        let leaves_source = match self.plan.content.source {
            PlanSource::Queue { .. } | PlanSource::Parking { .. } => true,
            PlanSource::Archive { .. } => false,
        };
        if !leaves_source || still_in_source.is_empty() {
            return Ok(());
        }
        // Delete the messages from their queue that an earlier run sent and did not see deleted.
        while !still_in_source.is_empty() {
            let items = &self.plan.content.items;
            let fetched = self.source.fetch(items, &mut still_in_source, MAX_BATCH_ENTRIES).await?;
            if fetched.is_empty() {
                break;
            }
            for (index, message) in fetched {
                // A message that is not there any more was deleted.
                if message.is_ok() {
                    self.remove_from_source(run, index).await?;
                }
            }
        }
        Ok(self.journal.flush().await?)
    }
}
