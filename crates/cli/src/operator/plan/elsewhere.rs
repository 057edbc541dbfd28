//! Events that another target has: a changed target does not make a delivered event a new one.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use genesys_replay::aws::AwsError;
use genesys_replay::ledger::Status;

use crate::ledger::{LedgerReader, scan_all};
use crate::operator::Progress;

/// A closed ledger item of an event.
#[derive(Clone, Debug)]
pub(super) struct ClosedItem {
    key: String,
    /// The target as shown to people.
    pub(super) target: String,
    pub(super) is_discarded: bool,
}

/// The closed ledger items of all events, by event id.
#[derive(Clone, Debug, Default)]
pub(super) struct Deliveries(BTreeMap<String, Vec<ClosedItem>>);

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
            if record.is_closed() {
                let items = deliveries.0.entry(record.event_id().to_owned()).or_default();
                let is_discarded = record.status == Some(Status::Discarded);
                items.push(ClosedItem { key: record.key, target: record.target, is_discarded });
            }
        }
        progress.end();
        Ok(deliveries)
    }

    /// Returns a closed item of the event under another key than this one. Keys are compared, because the target that
    /// is shown to people lacks the query of a URL.
    pub(super) fn under_another_key(&self, event_id: &str, key: &str) -> Option<&ClosedItem> {
        self.0.get(event_id)?.iter().find(|item| item.key != key)
    }
}
