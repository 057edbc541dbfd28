//! The ledger's items, for people to read.

pub mod dynamodb;
mod writer;

use std::collections::HashMap;
use std::future::Future;

use futures_util::{Stream, stream};
use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Accepted, FailureCode, Receipt};
use genesys_replay::ledger::{ItemState, KnownState, Status};

use crate::pages::entries;
pub use writer::{ClosingDecision, ExpectedItem, LedgerWriter, UnclaimedItem};

/// The number of keys that a use case with many events looks up at a time.
pub const MAX_LEDGER_KEYS: usize = 100;

/// The ledger's item of an event, for people to read. A field is empty or `None` if the item lacks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `<event id>|<delivery target>`.
    pub key: String,
    /// The status of the event; `None` if this version does not support the item's status.
    pub status: Option<Status>,
    pub delivered: bool,
    /// The target's receipt, if the event is delivered and the item has one.
    pub receipt: Option<Receipt>,
    /// The number of the round, from 1: one more after each accepted delivery that failed later.
    pub round: u32,
    pub attempts: u32,
    pub interaction_id: Option<String>,
    /// The category of the first failure.
    pub category: String,
    /// The reason why the event is not delivered, or the bookkeeping step that failed after delivery.
    pub failure_code: Option<String>,
    /// The target for people: a URL without secret parts.
    pub target: String,
    /// The target that the dead letter names, if it is another one.
    pub original_target: Option<String>,
    /// The event's type; `None` in items of version 0.2.0 and earlier.
    pub event_type: Option<String>,
    /// The id of the message that carried the event last.
    pub message_id: String,
    /// The time of the first claim.
    pub first_seen: Option<Timestamp>,
    /// The time at which the last work on the event ended.
    pub processed: Option<Timestamp>,
    /// The end of the lease, if the event is claimed.
    pub lease_until: Option<Timestamp>,
    /// The end of the delay before a new round.
    pub not_before: Option<Timestamp>,
    /// The id of the plan that discarded or restored the event.
    pub closed_by: Option<String>,
    /// The reason of that plan, and its operator.
    pub closing_reason: Option<String>,
    pub closing_operator: Option<String>,
}

impl Record {
    /// Returns the event's id: the key without the target.
    pub(crate) fn event_id(&self) -> &str {
        self.key.split('|').next().unwrap_or_default()
    }

    /// Returns the target that the dead letter names.
    pub(crate) fn original_target(&self) -> &str {
        self.original_target.as_deref().unwrap_or(&self.target)
    }

    /// Returns the event and its target, for people: without a query in the target, as in an archived object.
    pub(crate) fn event_at_target(&self) -> String {
        if self.target.is_empty() {
            return self.key.clone();
        }
        event_at_target(self.event_id(), &self.target)
    }

    /// Returns the item's state as far as it decides the function's next step.
    pub(crate) fn state(&self) -> ItemState {
        ItemState {
            known: KnownState {
                status: self.status,
                delivered: self.delivered.then_some(self.attempts),
                code: self.failure_code.as_deref().and_then(FailureCode::parse),
                accepted: Accepted {
                    receipt: self.receipt.clone(),
                    first_seen: self.first_seen.unwrap_or(Timestamp::from_millis(0)),
                    round: self.round,
                    message_id: Some(self.message_id.clone()),
                },
            },
            lease_until: self.lease_until,
            not_before: self.not_before,
        }
    }

    /// Returns the key for people, cut before the query of a URL, which may be secret.
    pub(crate) fn shown(&self) -> String {
        // This also cuts an event id with `?` or `#`; ids of Genesys Cloud contain neither.
        self.key.split(['?', '#']).next().unwrap_or_default().to_owned()
    }
}

/// Returns the identity of an event at a target, as far as people see it.
pub(crate) fn event_at_target(event_id: &str, target: &str) -> String {
    format!("{event_id}|{target}")
}

/// One page of the ledger's items.
#[derive(Clone, Debug, Default)]
pub struct RecordPage {
    /// Unordered.
    pub records: Vec<Record>,
    /// The start of the next page of the same segment; `None` after the last page.
    pub next: Option<String>,
}

/// Read access to the ledger. No call changes anything. Expired items may still be visible for a while.
pub trait LedgerReader: Send + Sync {
    /// Returns one page of segment `segment` (from 0) of `segments`. All segments together are the ledger.
    fn scan(
        &self,
        segment: u32,
        segments: u32,
        from: Option<&str>,
    ) -> impl Future<Output = Result<RecordPage, AwsError>> + Send;

    /// Returns the current items with these keys. Keys without an item are left out.
    fn find(&self, keys: &[&str]) -> impl Future<Output = Result<Vec<Record>, AwsError>> + Send;

    /// Returns the current items with these keys, by key.
    ///
    /// # Errors
    /// [`AwsError`].
    fn find_by_key(
        &self,
        keys: &[&str],
    ) -> impl Future<Output = Result<HashMap<String, Record>, AwsError>> + Send {
        async {
            let records = self.find(keys).await?.into_iter();
            Ok(records.map(|it| (it.key.clone(), it)).collect())
        }
    }
}

impl Record {
    /// Returns true if the item's target has the event, or an operator discarded the event.
    pub(crate) fn is_closed(&self) -> bool {
        self.delivered || matches!(self.status, Some(Status::Completed | Status::Discarded))
    }
}

/// Streams all items of the ledger, unordered. Reads so many segments concurrently, at least one. The stream ends after
/// an error.
pub(crate) fn scan_all(
    ledger: &impl LedgerReader,
    segments: u32,
) -> impl Stream<Item = Result<Record, AwsError>> + Unpin {
    let segments = segments.max(1);
    stream::select_all((0..segments).map(|segment| {
        entries(move |from: Option<String>| async move {
            let page = ledger.scan(segment, segments, from.as_deref()).await?;
            Ok((page.records, page.next))
        })
    }))
}
