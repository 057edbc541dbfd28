//! Events that another target has: a changed target does not make a delivered event a new one.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use genesys_replay::aws::AwsError;
use genesys_replay::ledger::Status;

use crate::ledger::{LedgerReader, scan_all};
use crate::operator::Progress;

/// The targets that have an event, by event id.
#[derive(Clone, Debug, Default)]
pub(super) struct Deliveries(BTreeMap<String, BTreeSet<String>>);

impl Deliveries {
    /// Reads the whole ledger, because its keys begin with the event and not with the target.
    pub(super) async fn read(
        ledger: &impl LedgerReader,
        progress: &dyn Progress,
    ) -> Result<Self, AwsError> {
        let mut deliveries = Self::default();
        progress.begin("reading the ledger", None);
        let mut records = scan_all(ledger, 1);
        while let Some(record) = records.try_next().await? {
            progress.advance(1);
            if record.delivered || record.status == Some(Status::Completed) {
                let targets = deliveries.0.entry(record.event_id().to_owned()).or_default();
                targets.insert(record.target);
            }
        }
        progress.end();
        Ok(deliveries)
    }

    /// Returns a target that has the event, other than `target` (as shown to people).
    pub(super) fn to_another(&self, event_id: &str, target: &str) -> Option<&str> {
        let targets = self.0.get(event_id)?;
        targets.iter().map(String::as_str).find(|other| *other != target)
    }
}
