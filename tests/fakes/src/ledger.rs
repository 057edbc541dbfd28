//! A ledger in memory, with the conditions of the one in `DynamoDB`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::FailureCode;
use genesys_replay::ledger::{
    Claim, ClaimRequest, EventKey, Lease, Ledger, LedgerError, Reopen, Settlement,
};

use crate::faults::pass;
use crate::{Faults, NoFaults, lock};

/// A ledger whose clones share their items. As in a table whose TTL is swept late, an item that has
/// expired stays.
#[derive(Clone)]
pub struct MemoryLedger {
    items: Arc<Mutex<BTreeMap<String, Item>>>,
    remember: Duration,
    faults: Arc<dyn Faults<LedgerError>>,
}

/// What is kept of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// How it stands.
    pub status: Status,
    /// Who holds it, or held it last.
    pub owner: String,
    /// When the claim ends by itself.
    pub lease_until: Timestamp,
    /// The attempts so far.
    pub attempts: u32,
    /// The attempt that the target accepted.
    pub delivered: Option<u32>,
    /// Why it did not end well, or not yet.
    pub code: Option<FailureCode>,
    /// When it was first claimed.
    pub first_seen: Timestamp,
    /// When it was last settled.
    pub processed_at: Option<Timestamp>,
    /// When a table may forget it, in seconds since the Unix epoch.
    pub expires_at: u64,
    about: BTreeMap<&'static str, String>,
}

/// How an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Held until the lease ends.
    InProgress,
    /// Given back.
    Deferred,
    /// Delivered.
    Completed,
    /// Given up and archived.
    Archived,
    /// Given up, and nowhere to archive it.
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Deferred => "DEFERRED",
            Self::Completed => "COMPLETED",
            Self::Archived => "ARCHIVED",
            Self::Failed => "FAILED",
        })
    }
}

impl Item {
    /// The attributes as the table shows them, all as text.
    #[must_use]
    pub fn attributes(&self, key: &EventKey) -> BTreeMap<String, String> {
        let step = if self.delivered.is_some() {
            "REPLAYED"
        } else {
            "CLAIMED"
        };
        let always = [
            ("EventId", key.to_string()),
            ("Status", self.status.to_string()),
            ("Step", step.to_owned()),
            ("Owner", self.owner.clone()),
            ("LeaseUntil", self.lease_until.as_millis().to_string()),
            ("Attempts", self.attempts.to_string()),
            ("FirstSeenAt", self.first_seen.to_string()),
            ("ExpiresAt", self.expires_at.to_string()),
        ];
        let sometimes = [
            ("DeliveredAttempt", self.delivered.map(|it| it.to_string())),
            ("FailureCode", self.code.map(|it| it.as_str().to_owned())),
            ("ProcessedAt", self.processed_at.map(|it| it.to_string())),
        ];
        let sometimes = sometimes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let about = self
            .about
            .iter()
            .map(|(name, value)| (*name, value.clone()));
        always
            .into_iter()
            .chain(sometimes)
            .chain(about)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn is_held_by(&self, lease: &Lease) -> bool {
        self.owner == lease.owner && self.status == Status::InProgress
    }

    fn may_be_claimed(&self, request: &ClaimRequest<'_>) -> bool {
        match self.status {
            Status::InProgress => self.lease_until < request.now,
            Status::Deferred => true,
            Status::Completed => false,
            Status::Archived => request.reopen == Reopen::FailedAndArchived,
            Status::Failed => request.reopen != Reopen::Nothing,
        }
    }

    fn lease(&self, request: &ClaimRequest<'_>) -> Lease {
        Lease {
            key: request.key.clone(),
            owner: request.owner.clone(),
            attempt: self.attempts,
            delivered: self.delivered,
            first_seen: self.first_seen,
        }
    }
}

impl MemoryLedger {
    /// A ledger that says of its items that they expire after `remember`.
    #[must_use]
    pub fn new(remember: Duration) -> Self {
        Self {
            items: Arc::default(),
            remember,
            faults: Arc::new(NoFaults),
        }
    }

    /// The same ledger, reached through these faults.
    #[must_use]
    pub fn with_faults(&self, faults: Arc<dyn Faults<LedgerError>>) -> Self {
        Self {
            faults,
            ..self.clone()
        }
    }

    /// What is kept of an event.
    #[must_use]
    pub fn item(&self, key: &EventKey) -> Option<Item> {
        lock(&self.items).get(key.as_str()).cloned()
    }

    fn expires_at(&self, now: Timestamp) -> u64 {
        now.plus(self.remember).as_secs()
    }

    fn take(&self, request: &ClaimRequest<'_>) -> Claim {
        let mut items = lock(&self.items);
        let before = items.get(request.key.as_str());
        if let Some(item) = before
            && !item.may_be_claimed(request)
        {
            return match item.status {
                // Asked again by its holder, whose first answer was lost.
                Status::InProgress if item.owner == request.owner => {
                    Claim::Acquired(item.lease(request))
                }
                Status::InProgress => Claim::HeldUntil(item.lease_until),
                Status::Deferred => Claim::HeldUntil(request.now),
                Status::Completed | Status::Archived => Claim::AlreadyDone,
                Status::Failed => Claim::GivenUp(item.code.unwrap_or(FailureCode::Internal)),
            };
        }
        let about = request.about;
        let mut about = BTreeMap::from([
            ("MessageId", about.message_id.to_string()),
            ("Category", about.category.to_owned()),
            ("Target", about.target.to_owned()),
        ]);
        let interaction = request.about.interaction_id.map(str::to_owned);
        let known = before.and_then(|item| item.about.get("InteractionId").cloned());
        about.extend(interaction.or(known).map(|id| ("InteractionId", id)));
        let item = Item {
            status: Status::InProgress,
            owner: request.owner.clone(),
            lease_until: request.lease_until,
            attempts: before.map_or(0, |item| item.attempts) + 1,
            delivered: before.and_then(|item| item.delivered),
            code: before.and_then(|item| item.code),
            first_seen: before.map_or(request.now, |item| item.first_seen),
            processed_at: before.and_then(|item| item.processed_at),
            expires_at: self.expires_at(request.now),
            about,
        };
        let lease = item.lease(request);
        items.insert(request.key.to_string(), item);
        Claim::Acquired(lease)
    }

    /// Changes an item for as long as the lease holds.
    fn change(&self, lease: &Lease, change: impl FnOnce(&mut Item)) -> Result<(), LedgerError> {
        let mut items = lock(&self.items);
        let held = items.get_mut(lease.key.as_str());
        let held = held.filter(|item| item.is_held_by(lease));
        change(held.ok_or(LedgerError::LeaseLost)?);
        Ok(())
    }

    fn end(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let (status, code) = match settlement {
            Settlement::Completed(code) => (Status::Completed, code),
            Settlement::Archived(code) => (Status::Archived, Some(code)),
            Settlement::Failed(code) => (Status::Failed, Some(code)),
            Settlement::Deferred(code) => (Status::Deferred, Some(code)),
        };
        let expires_at = self.expires_at(now);
        let settled = self.change(lease, |item| {
            item.status = status;
            item.attempts = lease.shown_attempt();
            item.processed_at = Some(now);
            item.expires_at = expires_at;
            item.delivered = lease.delivered.or(item.delivered);
            item.code = code;
        });
        // Settled before, and the answer was lost.
        let again = self
            .item(&lease.key)
            .is_some_and(|item| item.owner == lease.owner && item.status == status);
        settled.or_else(|lost| if again { Ok(()) } else { Err(lost) })
    }
}

impl Ledger for MemoryLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        pass(&*self.faults, "claim", || Ok(self.take(request))).await
    }

    async fn next_attempt(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease {
            attempt: lease.attempt.saturating_add(1),
            ..lease.clone()
        };
        pass(&*self.faults, "next_attempt", || {
            self.change(lease, |item| item.attempts = next.attempt)
        })
        .await?;
        Ok(next)
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let next = Lease {
            delivered: Some(lease.attempt),
            ..lease.clone()
        };
        pass(&*self.faults, "checkpoint", || {
            self.change(lease, |item| item.delivered = next.delivered)
        })
        .await?;
        Ok(next)
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        pass(&*self.faults, "settle", || self.end(lease, settlement, now)).await
    }
}
