//! Ports that record every call in the history and contain the injected bugs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesys_fakes::{MemoryArchive, MemoryLedger, MemoryQueues, MemoryTarget, WorkerId};
use genesys_replay::archive::{Archive, ArchiveError, Entry};
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Accepted, Disposition, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimRequest, EventKey, ItemState, Lease, Ledger, LedgerError, Settlement,
};
use genesys_replay::message::MessageId;
use genesys_replay::queue::{Queue, QueueDepth, QueueLimits, VisibilityChange, VisibilityError};
use genesys_replay::replay::Ports;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Target};

use crate::bugs::Bug;
use crate::fault_kinds::FaultKind;
use crate::faults::{FaultInjector, SimRng};
use crate::genesys_port::WatchedGenesys;
use crate::history::History;
use crate::late_failures::LateFailureConfig;
use crate::locations::EventLocations;

/// The ports of a worker.
pub(crate) enum Simulated {}

impl Ports for Simulated {
    type Ledger = WatchedLedger;
    type Genesys = WatchedGenesys;
    type Target = WatchedTarget;
    type Archive = WatchedArchive;
    type Queue = WatchedQueue;
}

/// The current invocation of an execution environment.
#[derive(Clone, Default)]
pub(crate) struct CurrentInvocation(Arc<AtomicU64>);

impl CurrentInvocation {
    pub(crate) fn begin(&self, worker_id: WorkerId) {
        self.0.store(worker_id, Ordering::Relaxed);
    }

    fn worker_id(&self) -> WorkerId {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `on_failure` when it is dropped without success, also when its future is cancelled.
pub(crate) struct FailureGuard<F: FnMut()> {
    pub(crate) succeeded: bool,
    on_failure: F,
}

impl<F: FnMut()> FailureGuard<F> {
    pub(crate) const fn new(on_failure: F) -> Self {
        let succeeded = false;
        Self { succeeded, on_failure }
    }
}

impl<F: FnMut()> Drop for FailureGuard<F> {
    fn drop(&mut self) {
        if !self.succeeded {
            (self.on_failure)();
        }
    }
}

pub(crate) struct WatchedLedger {
    pub(crate) inner: MemoryLedger,
    pub(crate) history: Arc<History>,
    pub(crate) current_invocation: CurrentInvocation,
    pub(crate) bug: Option<Bug>,
}

impl WatchedLedger {
    /// Returns the claim of a failure record, with the injected bug if there is one.
    fn with_injected_bug(&self, accepted: Accepted) -> Claim {
        let late = |receipt: Receipt| Receipt {
            delivery_id: None,
            at: receipt.at.plus(Duration::from_secs(60)),
        };
        match self.bug {
            Some(Bug::LaterFailureIsDuplicate) => Claim::AlreadyDone,
            Some(Bug::FastFailureIsOlder) => {
                Claim::Delivered(Accepted { receipt: accepted.receipt.map(late), ..accepted })
            }
            Some(_) | None => Claim::Delivered(accepted),
        }
    }

    /// Returns whether the ledger must refuse a write of this lease.
    fn is_late(&self, lease: &Lease) -> bool {
        let worker_id = self.current_invocation.worker_id();
        self.history.is_held_by_another(lease.key.as_str(), worker_id)
    }

    fn note<T>(&self, lease: &Lease, late: bool, answer: &Result<T, LedgerError>) {
        let (key, worker_id) = (lease.key.as_str(), self.current_invocation.worker_id());
        match answer {
            Ok(_) if late => self.history.late_write_accepted(key, worker_id),
            Err(LedgerError::LeaseLost) => self.history.refused(key, worker_id),
            Ok(_) | Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_)) => {}
        }
    }
}

impl Ledger for WatchedLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let by_message = EventKey::new(None, request.about.message_id, &Destination::None);
        let asked = ClaimRequest {
            key: if self.bug == Some(Bug::KeyIsMessageId) { &by_message } else { request.key },
            ..request.clone()
        };
        self.history.claiming(request.key.as_str(), request.now);
        let claim = match self.inner.claim(&asked).await {
            Err(_) if self.bug == Some(Bug::FailOpen) => {
                return Ok(Claim::Acquired(Lease {
                    key: request.key.clone(),
                    owner: request.owner.clone(),
                    attempt: 1,
                    delivered: None,
                    receipt: None,
                    round: 1,
                    first_seen: request.now,
                    retry_since: request.now,
                    maybe_delivered: false,
                    answers: AnswerCounts::default(),
                    processed: None,
                }));
            }
            Err(error) => {
                // The claim may have had its effect, and another worker may have claimed the event since.
                self.history.claiming(request.key.as_str(), request.now);
                return Err(error);
            }
            Ok(claim) => claim,
        };
        let claim = if let Claim::Delivered(accepted) = claim {
            self.with_injected_bug(accepted)
        } else {
            claim
        };
        if let Claim::Acquired(lease) = &claim {
            let (key, worker_id) = (request.key.as_str(), self.current_invocation.worker_id());
            let item = self.inner.item(&lease.key);
            if item.is_none_or(|item| item.owner == lease.owner) {
                let (now, until) = (request.now, request.lease_until);
                self.history.claimed(key, worker_id, now, until);
            } else {
                self.history.claimed_and_lost(key, worker_id);
            }
        }
        Ok(claim)
    }

    async fn next_attempt(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let late = self.is_late(lease);
        let next = self.inner.next_attempt(lease).await;
        self.note(lease, late, &next);
        next
    }

    async fn checkpoint(&self, lease: &Lease) -> Result<Lease, LedgerError> {
        let key = lease.key.as_str();
        let unrecorded = || self.history.allow_duplicate(key, "its checkpoint failed");
        let mut guard = FailureGuard::new(unrecorded);
        let late = self.is_late(lease);
        let checkpoint = self.inner.checkpoint(lease).await;
        guard.succeeded = checkpoint.is_ok();
        self.note(lease, late, &checkpoint);
        checkpoint
    }

    async fn begin_round(
        &self,
        request: &ClaimRequest<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> Result<(), LedgerError> {
        let accepted = match self.bug {
            // The unchanged item, because the caller has a changed receipt.
            Some(Bug::FastFailureIsOlder) => self.inner.item(request.key).map_or_else(
                || accepted.clone(),
                |item| Accepted { receipt: item.receipt, ..accepted.clone() },
            ),
            Some(_) | None => accepted.clone(),
        };
        let begun = self.inner.begin_round(request, &accepted, not_before).await;
        let receipt = accepted.receipt.as_ref();
        let has_id = receipt.is_some_and(|receipt| receipt.delivery_id.is_some());
        if begun.is_ok() && !has_id {
            // Within five seconds, a record of an earlier attempt with a lost response counts as one of this
            // delivery, because the times are equal.
            let key = request.key.as_str();
            self.history.allow_duplicate(key, "its record is compared by time");
        }
        begun
    }

    async fn look_up(&self, key: &EventKey) -> Result<Option<ItemState>, LedgerError> {
        self.inner.look_up(key).await
    }

    async fn index_delivery(
        &self,
        delivery_id: &str,
        key: &EventKey,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let unrecorded = || {
            self.history.allow_duplicate(key.as_str(), "its delivery is not indexed");
        };
        let mut guard = FailureGuard::new(unrecorded);
        let indexed = self.inner.index_delivery(delivery_id, key, now).await;
        guard.succeeded = indexed.is_ok();
        indexed
    }

    async fn find_delivery(&self, delivery_id: &str) -> Result<Option<EventKey>, LedgerError> {
        if self.bug == Some(Bug::DeliveriesNotIndexed) {
            return Ok(None);
        }
        self.inner.find_delivery(delivery_id).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let (key, worker_id) = (lease.key.as_str(), self.current_invocation.worker_id());
        let archived = matches!(settlement, Settlement::Archived(_));
        let mut guard = FailureGuard::new(|| self.history.settlement_failed(key));
        guard.succeeded = !archived;
        let late = self.is_late(lease);
        self.history.released(key, worker_id, &settlement);
        let settlement = match settlement {
            Settlement::Archived(code) if self.bug == Some(Bug::ArchivedIsDeferred) => {
                Settlement::Deferred(code)
            }
            Settlement::Completed(_)
            | Settlement::Archived(_)
            | Settlement::Failed(_)
            | Settlement::Deferred(_) => settlement,
        };
        let settled = self.inner.settle(lease, settlement, now).await;
        guard.succeeded |= settled.is_ok();
        self.note(lease, late, &settled);
        settled
    }
}

pub(crate) struct WatchedQueue {
    pub(crate) inner: MemoryQueues,
    pub(crate) bug: Option<Bug>,
}

impl Queue for WatchedQueue {
    async fn change_visibility(&self, changes: &[VisibilityChange<'_>]) -> Vec<VisibilityError> {
        self.inner.change_visibility(changes).await
    }

    async fn depth(&self, queue_arn: &str) -> Result<QueueDepth, String> {
        self.inner.depth(queue_arn).await
    }

    async fn limits(&self, queue_arn: &str) -> Result<QueueLimits, String> {
        // A queue with unreadable attributes counts as a queue with a retention of 14 days.
        let limits = loop {
            if let Ok(limits) = self.inner.limits(queue_arn).await {
                break limits;
            }
        };
        Ok(if self.bug == Some(Bug::RetentionIgnored) {
            QueueLimits { retention: Duration::from_secs(14 * 24 * 3_600), ..limits }
        } else {
            limits
        })
    }
}

pub(crate) struct WatchedTarget {
    pub(crate) inner: MemoryTarget,
    pub(crate) late: LateFailureConfig,
    pub(crate) rng: SimRng,
    pub(crate) faults: Arc<FaultInjector>,
    /// The clock without a skew.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) locations: Arc<EventLocations>,
    pub(crate) current_invocation: CurrentInvocation,
    pub(crate) bug: Option<Bug>,
}

impl WatchedTarget {
    /// Lets an accepted delivery fail later, at random.
    fn may_fail_later(&self, delivery: &Delivery<'_>, id: &str) {
        let sent_messages = self.locations.sent_message();
        let sent_message = sent_messages.iter().find(|it| it.event.body() == delivery.payload);
        if let Some(sent_message) = sent_message {
            let fails = self.locations.late.accepted(
                &self.late,
                &self.rng,
                self.faults.has_ended(),
                (sent_message.event, delivery.key.as_str(), id),
                (sent_message.group.clone(), self.clock.now()),
            );
            if fails {
                self.faults.count(FaultKind::LateFailure);
            }
        }
    }

    /// Returns the id of an earlier delivery with this name, if the target drops duplicates.
    fn earlier_delivery_id(&self, name: &str) -> Option<DeliveryId> {
        let accepted = self.inner.accepted();
        let known = accepted.iter().find(|it| it.name == name);
        known.filter(|_| self.late.deduplicates)?.delivery_id.clone()
    }

    fn accepted(&self) -> usize {
        self.inner.accepted().len()
    }

    /// Returns the acceptance of a delivery after the first `before`. Another worker may deliver at the same
    /// time with another attempt number.
    fn acceptance(
        &self,
        delivery: &Delivery<'_>,
        key: &str,
        before: usize,
    ) -> Option<genesys_fakes::Accepted> {
        let accepted = self.inner.accepted().into_iter().skip(before);
        let mut ours = accepted.filter(|it| {
            it.key == key
                && it.payload == delivery.payload
                && it.attempt_count == delivery.attempt_count
        });
        ours.next()
    }
}

/// Records an acceptance, also when the delivery's future is cancelled.
struct AcceptanceObserver<'w> {
    target: &'w WatchedTarget,
    delivery: &'w Delivery<'w>,
    /// The idempotency key of the request.
    key: &'w EventKey,
    worker_id: WorkerId,
    before: usize,
    pub(crate) succeeded: bool,
}

impl Drop for AcceptanceObserver<'_> {
    fn drop(&mut self) {
        let acceptance = self.target.acceptance(self.delivery, self.key.as_str(), self.before);
        if let Some(acceptance) = acceptance {
            if let Some(id) = &acceptance.delivery_id {
                self.target.may_fail_later(self.delivery, id);
            }
            let history = &self.target.locations.history;
            let key = self.delivery.key.as_str();
            history.accepted(key, self.worker_id);
            let locations = &self.target.locations;
            if locations.is_rejected(self.delivery.key)
                && !locations.has_operator_replay(self.delivery.key)
            {
                history.accepted_after_archiving(key);
            }
            if !self.succeeded {
                history.allow_duplicate(key, "its response is lost");
            }
        }
    }
}

impl Target for WatchedTarget {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        let item = self.locations.ledger.item(delivery.key);
        let recorded = item.is_some_and(|item| item.delivered.is_some());
        let (key, worker_id) = (delivery.key.as_str(), self.current_invocation.worker_id());
        let attempt = delivery.attempt_count;
        self.locations.history.delivering(key, worker_id, attempt, recorded);
        self.locations.check_order(delivery.key);
        let fresh = MessageId::new(format!("fresh-{worker_id}-{attempt}"));
        let fresh = fresh.map(|id| EventKey::new(None, &id, delivery.destination));
        let fresh = fresh.filter(|_| self.bug == Some(Bug::FreshKeyEachTime));
        let sent = Delivery { key: fresh.as_ref().unwrap_or(delivery.key), ..*delivery };
        let mut observer = AcceptanceObserver {
            target: self,
            delivery,
            key: sent.key,
            worker_id,
            before: self.accepted(),
            succeeded: false,
        };
        let first = delivery.key.digest();
        let sent = Delivery {
            name: if self.bug == Some(Bug::RoundsShareOneName) { &first } else { sent.name },
            ..sent
        };
        let answer = match self.earlier_delivery_id(sent.name) {
            Some(known) => Ok(Some(known)),
            None => self.inner.deliver(&sent).await,
        };
        observer.succeeded = answer.is_ok();
        let answer = match answer {
            Err(error)
                if error.disposition == Disposition::Operator
                    && self.bug == Some(Bug::ConfigurationArchives) =>
            {
                Err(DeliveryError {
                    code: FailureCode::TargetRefused,
                    disposition: Disposition::Permanent,
                    ..error
                })
            }
            answer => answer,
        };
        answer.map(|id| id.filter(|_| self.late.returns_ids))
    }
}

pub(crate) struct WatchedArchive {
    pub(crate) inner: MemoryArchive,
    pub(crate) history: Arc<History>,
    pub(crate) bug: Option<Bug>,
}

impl Archive for WatchedArchive {
    async fn put(&self, entry: &Entry<'_>) -> Result<String, ArchiveError> {
        let settlement_failed = || self.history.settlement_failed(entry.key.as_str());
        let mut guard = FailureGuard::new(settlement_failed);
        let stored = self.inner.put(entry).await;
        guard.succeeded = stored.is_ok();
        match stored {
            Err(_) if self.bug == Some(Bug::ArchiveNotAwaited) => Ok("not-stored".to_owned()),
            stored => stored,
        }
    }
}
