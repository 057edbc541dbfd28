//! Drift: events whose ledger item has changed since a plan was made.

use genesys_replay::aws::AwsError;

use super::journal::History;
use crate::ledger::{LedgerReader, MAX_LEDGER_KEYS};
use crate::operator::Progress;
use crate::operator::plan::{LedgerSnapshot, Plan, PlanItem};

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
