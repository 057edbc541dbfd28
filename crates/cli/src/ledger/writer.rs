//! Conditional writes of ledger items for an operator.

use std::future::Future;

use genesys_replay::aws::AwsError;
use genesys_replay::clock::Timestamp;
use genesys_replay::ledger::Status;

/// The state of an item on which a write depends. The write is refused if the item differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedItem<'a> {
    pub status: Status,
    pub attempts: u32,
    /// The id of the message that carried the event last; empty if the item has none.
    pub message_id: &'a str,
}

/// The decision of an operator, as it is kept in the item.
#[derive(Clone, Copy, Debug)]
pub struct ClosingDecision<'a> {
    pub plan: &'a str,
    pub reason: &'a str,
    pub by: &'a str,
    pub now: Timestamp,
}

/// The attributes of a new item, for an event without an item.
#[derive(Clone, Copy, Debug)]
pub struct UnclaimedItem<'a> {
    pub message_id: &'a str,
    pub category: &'a str,
    pub failure_code: Option<&'a str>,
    pub interaction_id: Option<&'a str>,
    pub target: &'a str,
    pub first_seen: Timestamp,
}

/// Write access to the ledger. Each call is one conditional write of one item, and returns false if the item is not in
/// the expected state. Nothing has changed then. After a lost answer, a write that had succeeded may return false.
pub trait LedgerWriter: Send + Sync {
    /// Sets the status `DISCARDED`. Other attributes stay. Refuses delivered events and events that a worker holds.
    fn discard(
        &self,
        key: &str,
        expected: ExpectedItem<'_>,
        decision: &ClosingDecision<'_>,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;

    /// Creates an item with the status `DISCARDED`. Refuses an event that has an item.
    fn create_discarded(
        &self,
        key: &str,
        new: &UnclaimedItem<'_>,
        decision: &ClosingDecision<'_>,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;

    /// Sets the status `ARCHIVED` of a discarded event.
    fn restore(
        &self,
        key: &str,
        expected: ExpectedItem<'_>,
        decision: &ClosingDecision<'_>,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;

    /// Deletes the item of a discarded event that no worker has claimed.
    fn forget_unclaimed(&self, key: &str) -> impl Future<Output = Result<bool, AwsError>> + Send;
}
