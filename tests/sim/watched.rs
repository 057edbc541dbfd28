//! Ports that tell the history what passes through them, and make deliberate mistakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genesys_fakes::{MemoryArchive, MemoryGenesys, MemoryLedger, MemoryQueues, MemoryTarget};
use genesys_replay::archive::{Archive, ArchiveError, Entry};
use genesys_replay::clock::Timestamp;
use genesys_replay::destination::Destination;
use genesys_replay::ledger::{
    Claim, ClaimRequest, EventKey, Lease, Ledger, LedgerError, Settlement,
};
use genesys_replay::replay::Ports;
use genesys_replay::target::{Delivery, DeliveryError, Target};

use crate::bugs::Bug;
use crate::history::{History, Life};

/// The ports of a worker.
pub(crate) enum Simulated {}

impl Ports for Simulated {
    type Ledger = WatchedLedger;
    type Genesys = MemoryGenesys;
    type Target = WatchedTarget;
    type Archive = WatchedArchive;
    type Queue = MemoryQueues;
}

pub(crate) struct WatchedLedger {
    pub(crate) inner: MemoryLedger,
    pub(crate) history: Arc<History>,
    pub(crate) bug: Option<Bug>,
}

impl Ledger for WatchedLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let by_message = EventKey::new(None, request.about.message_id, &Destination::None);
        let request = ClaimRequest {
            key: if self.bug == Some(Bug::KeyIsMessageId) {
                &by_message
            } else {
                request.key
            },
            owner: request.owner.clone(),
            lease_until: if self.bug == Some(Bug::NoLease) {
                request.now
            } else {
                request.lease_until
            },
            ..*request
        };
        let claim = self.inner.claim(&request).await;
        match claim {
            Err(_) if self.bug == Some(Bug::FailOpen) => Ok(Claim::Acquired(Lease {
                key: request.key.clone(),
                owner: request.owner.clone(),
                attempt: 1,
                delivered: None,
                first_seen: request.now,
            })),
            claim => claim,
        }
    }

    async fn next_attempt(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        self.inner.next_attempt(lease).await
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let checkpoint = if self.bug == Some(Bug::NoCheckpoint) {
            Ok(Lease {
                delivered: Some(lease.attempt),
                ..lease.clone()
            })
        } else {
            self.inner.checkpoint(lease).await
        };
        match &checkpoint {
            Ok(_) => self.history.recorded(lease.key.as_str()),
            Err(_) => self.history.excuse(lease.key.as_str()),
        }
        checkpoint
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.inner.settle(lease, settlement, now).await
    }
}

pub(crate) struct WatchedTarget {
    pub(crate) inner: MemoryTarget,
    pub(crate) ledger: MemoryLedger,
    pub(crate) history: Arc<History>,
    /// The invocation that is going on.
    pub(crate) life: Arc<AtomicU64>,
}

impl WatchedTarget {
    fn life(&self) -> Life {
        self.life.load(Ordering::Relaxed)
    }

    fn accepted(&self, key: &str) -> usize {
        self.inner
            .accepted()
            .iter()
            .filter(|accepted| accepted.key == key)
            .count()
    }
}

/// Notices an acceptance even when nobody waits for its answer any more.
struct Noticing<'w> {
    target: &'w WatchedTarget,
    key: &'w str,
    life: Life,
    before: usize,
    answered: bool,
}

impl Drop for Noticing<'_> {
    fn drop(&mut self) {
        if self.target.accepted(self.key) > self.before {
            self.target.history.accepted(self.key, self.life);
            if !self.answered {
                self.target.history.excuse(self.key);
            }
        }
    }
}

impl Target for WatchedTarget {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), DeliveryError> {
        let key = delivery.key.as_str();
        let recorded = self
            .ledger
            .item(delivery.key)
            .is_some_and(|item| item.delivered.is_some());
        let life = self.life();
        self.history
            .delivering(key, life, delivery.attempt_count, recorded);
        let mut noticing = Noticing {
            target: self,
            key,
            life,
            before: self.accepted(key),
            answered: false,
        };
        let answer = self.inner.deliver(delivery).await;
        noticing.answered = answer.is_ok();
        answer
    }
}

pub(crate) struct WatchedArchive {
    pub(crate) inner: MemoryArchive,
    pub(crate) bug: Option<Bug>,
}

impl Archive for WatchedArchive {
    async fn put(&self, entry: &Entry<'_>) -> Result<String, ArchiveError> {
        let stored = self.inner.put(entry).await;
        match stored {
            Err(_) if self.bug == Some(Bug::ArchiveNotAwaited) => Ok("nowhere".to_owned()),
            stored => stored,
        }
    }
}
