//! A ledger in memory, with the conditions of the one in `DynamoDB`.

mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::Accepted;
pub use genesys_replay::ledger::Status;
use genesys_replay::ledger::{
    Claim, ClaimRequest, EventKey, ItemState, KnownState, Lease, Ledger, LedgerError, Settlement,
};
pub use rules::{Flaw, Item, LeaseLost, Rules};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// A ledger whose clones share their items. An expired item stays until [`sweep`](Self::sweep), as in
/// a table whose TTL deletes late.
#[derive(Clone)]
pub struct MemoryLedger {
    items: Arc<Mutex<BTreeMap<String, Item>>>,
    index: Arc<Mutex<BTreeMap<String, EventKey>>>,
    rules: Rules,
    faults: Arc<dyn Faults<LedgerError>>,
}

impl MemoryLedger {
    /// Returns a ledger whose items expire after `remember`.
    #[must_use]
    pub fn new(remember: Duration) -> Self {
        Self::with_rules(Rules::new(remember))
    }

    /// Returns a ledger with these rules, which may have a flaw.
    #[must_use]
    pub fn with_rules(rules: Rules) -> Self {
        Self { items: Arc::default(), index: Arc::default(), rules, faults: Arc::new(NoFaults) }
    }

    /// Returns the same ledger with these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<LedgerError>>) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Returns the item of an event.
    #[must_use]
    pub fn item(&self, key: &EventKey) -> Option<Item> {
        lock(&self.items).get(key.as_str()).cloned()
    }

    /// Deletes the expired items.
    pub fn sweep(&self, now: Timestamp) {
        lock(&self.items).retain(|_, item| item.expires_at > now.as_secs());
    }

    /// Returns the indexed events by delivery id.
    #[must_use]
    pub fn indexed(&self) -> BTreeMap<String, EventKey> {
        lock(&self.index).clone()
    }

    fn take(&self, request: &ClaimRequest<'_>) -> Claim {
        let mut items = lock(&self.items);
        let (claim, item) = self.rules.claim(items.get(request.key.as_str()), request);
        if let Some(item) = item {
            items.insert(request.key.to_string(), item);
        }
        claim
    }

    fn change(
        &self,
        lease: &Lease,
        change: impl FnOnce(&mut Item) -> Result<(), LeaseLost>,
    ) -> Result<(), LedgerError> {
        let mut items = lock(&self.items);
        let item = items.get_mut(lease.key.as_str());
        let changed = item.ok_or(LeaseLost).and_then(change);
        changed.map_err(|LeaseLost| LedgerError::LeaseLost)
    }
}

impl Ledger for MemoryLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        pass(&*self.faults, "claim", || Ok(self.take(request))).await
    }

    async fn next_attempt(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease { attempt: lease.attempt.saturating_add(1), ..lease.clone() };
        pass(&*self.faults, "next_attempt", || {
            self.change(lease, |item| self.rules.next_attempt(item, lease))
        })
        .await?;
        Ok(next)
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease { delivered: Some(lease.attempt), ..lease.clone() };
        pass(&*self.faults, "checkpoint", || {
            self.change(lease, |item| self.rules.checkpoint(item, lease))
        })
        .await?;
        Ok(next)
    }

    async fn begin_round(
        &self,
        request: &ClaimRequest<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> Result<(), LedgerError> {
        pass(&*self.faults, "begin_round", || {
            let mut items = lock(&self.items);
            let item = items.get_mut(request.key.as_str());
            let begun = item
                .ok_or(LeaseLost)
                .and_then(|item| self.rules.begin_round(item, request, accepted, not_before));
            begun.map_err(|LeaseLost| LedgerError::LeaseLost)
        })
        .await
    }

    async fn look_up(&self, key: &EventKey) -> Result<Option<ItemState>, LedgerError> {
        pass(&*self.faults, "look_up", || {
            Ok(self.item(key).map(|item| ItemState {
                known: KnownState {
                    status: Some(item.status),
                    delivered: item.delivered,
                    code: item.code,
                    accepted: item.accepted(),
                },
                lease_until: (item.status == Status::InProgress).then_some(item.lease_until),
                not_before: item.not_before,
            }))
        })
        .await
    }

    async fn index_delivery(
        &self,
        delivery_id: &str,
        key: &EventKey,
        _: Timestamp,
    ) -> Result<(), LedgerError> {
        pass(&*self.faults, "index_delivery", || {
            lock(&self.index).insert(delivery_id.to_owned(), key.clone());
            Ok(())
        })
        .await
    }

    async fn find_delivery(&self, delivery_id: &str) -> Result<Option<EventKey>, LedgerError> {
        pass(&*self.faults, "find_delivery", || Ok(lock(&self.index).get(delivery_id).cloned()))
            .await
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        pass(&*self.faults, "settle", || {
            self.change(lease, |item| self.rules.settle(item, lease, settlement, now))
        })
        .await
    }
}
