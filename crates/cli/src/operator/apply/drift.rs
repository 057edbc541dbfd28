//! Whether events have moved on since a plan was made.

use std::collections::HashMap;

use genesys_replay::aws::AwsError;

use super::journal::History;
use crate::ledger::{LedgerReader, Record};
use crate::operator::Progress;
use crate::operator::plan::{Plan, Standing};

/// How many events the ledger is asked for at once.
const MAX_LEDGER_KEYS: usize = 100;

/// An event that stands otherwise than the plan says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Its key for people.
    pub shown: String,
    /// How it stood.
    pub planned: Option<Standing>,
    /// How it stands.
    pub now: Option<Standing>,
}

/// The events of a plan that have moved on since it was made, of those that no earlier run has begun with.
///
/// # Errors
/// [`AwsError`]: the ledger could not be asked.
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
        let untouched = chunk
            .iter()
            .filter(|item| !history.states.contains_key(&item.key));
        let untouched: Vec<_> = untouched.collect();
        let keys: Vec<&str> = untouched.iter().map(|item| item.key.as_str()).collect();
        let records = ledger.find(&keys).await?;
        let records: HashMap<&str, &Record> = records
            .iter()
            .map(|record| (record.key.as_str(), record))
            .collect();
        drifted.extend(untouched.into_iter().filter_map(|item| {
            let now = records
                .get(item.key.as_str())
                .map(|record| Standing::of(record));
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
