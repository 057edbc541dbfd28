//! Ports that tell the history what passes through them, and make deliberate mistakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesys_fakes::{Life, MemoryArchive, MemoryLedger, MemoryQueues, MemoryTarget};
use genesys_replay::archive::{Archive, ArchiveError, Entry};
use genesys_replay::clock::{Clock, Timestamp};
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Accepted, Disposition, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimRequest, EventKey, KnownState, Lease, Ledger, LedgerError, Settlement,
};
use genesys_replay::message::MessageId;
use genesys_replay::queue::{Queue, QueueLimits, VisibilityChange, VisibilityError};
use genesys_replay::replay::Ports;
use genesys_replay::target::{Delivery, DeliveryError, DeliveryId, Target};

use crate::bugs::Bug;
use crate::chance::{Chance, Misfortune};
use crate::history::History;
use crate::late::Late;
use crate::marks::WatchedGenesys;
use crate::places::Places;

/// The ports of a worker.
pub(crate) enum Simulated {}

impl Ports for Simulated {
    type Ledger = WatchedLedger;
    type Genesys = WatchedGenesys;
    type Target = WatchedTarget;
    type Archive = WatchedArchive;
    type Queue = WatchedQueue;
}

/// Who is at work: the invocation that goes on in an execution environment.
#[derive(Clone, Default)]
pub(crate) struct AtWork(Arc<AtomicU64>);

impl AtWork {
    pub(crate) fn begin(&self, life: Life) {
        self.0.store(life, Ordering::Relaxed);
    }

    fn life(&self) -> Life {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says so when it is dropped without a good answer: also when nobody waits for one any more.
pub(crate) struct Waiting<F: FnMut()> {
    pub(crate) answered: bool,
    or_else: F,
}

impl<F: FnMut()> Waiting<F> {
    pub(crate) const fn or_else(or_else: F) -> Self {
        let answered = false;
        Self { answered, or_else }
    }
}

impl<F: FnMut()> Drop for Waiting<F> {
    fn drop(&mut self) {
        if !self.answered {
            (self.or_else)();
        }
    }
}

pub(crate) struct WatchedLedger {
    pub(crate) inner: MemoryLedger,
    pub(crate) history: Arc<History>,
    pub(crate) at_work: AtWork,
    pub(crate) bug: Option<Bug>,
}

impl WatchedLedger {
    /// The answer to a failure record, with a deliberate mistake if that is wanted.
    fn mistaken(&self, accepted: Accepted) -> Claim {
        let late = |receipt: Receipt| Receipt {
            delivery_id: None,
            at: receipt.at.plus(Duration::from_secs(60)),
        };
        match self.bug {
            Some(Bug::LaterFailureIsDuplicate) => Claim::AlreadyDone,
            Some(Bug::FastFailureIsOlder) => Claim::Delivered(Accepted {
                receipt: accepted.receipt.map(late),
                ..accepted
            }),
            Some(_) | None => Claim::Delivered(accepted),
        }
    }

    /// Whether a write that is about to be asked for must be refused.
    fn is_late(&self, lease: &Lease) -> bool {
        let life = self.at_work.life();
        self.history.is_held_without(lease.key.as_str(), life)
    }

    fn note<T>(&self, lease: &Lease, late: bool, answer: &Result<T, LedgerError>) {
        let (key, life) = (lease.key.as_str(), self.at_work.life());
        match answer {
            Ok(_) if late => self.history.wrote_late(key, life),
            Err(LedgerError::LeaseLost) => self.history.refused(key, life),
            Ok(_) | Err(LedgerError::Unavailable(_) | LedgerError::Unreadable(_)) => {}
        }
    }
}

impl Ledger for WatchedLedger {
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let by_message = EventKey::new(None, request.about.message_id, &Destination::None);
        let asked = ClaimRequest {
            key: if self.bug == Some(Bug::KeyIsMessageId) {
                &by_message
            } else {
                request.key
            },
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
                // It may have acted, and others may have claimed it since it was asked.
                self.history.claiming(request.key.as_str(), request.now);
                return Err(error);
            }
            Ok(claim) => claim,
        };
        let claim = if let Claim::Delivered(accepted) = claim {
            self.mistaken(accepted)
        } else {
            claim
        };
        if let Claim::Acquired(lease) = &claim {
            let (key, life) = (request.key.as_str(), self.at_work.life());
            let item = self.inner.item(&lease.key);
            if item.is_none_or(|item| item.owner == lease.owner) {
                let (now, until) = (request.now, request.lease_until);
                self.history.claimed(key, life, now, until);
            } else {
                self.history.claimed_and_lost(key, life);
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
        let unrecorded = || self.history.excuse(key, "no answer, or a bad one");
        let mut waiting = Waiting::or_else(unrecorded);
        let late = self.is_late(lease);
        let checkpoint = self.inner.checkpoint(lease).await;
        waiting.answered = checkpoint.is_ok();
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
            // The item is as it was read, whatever the caller was told.
            Some(Bug::FastFailureIsOlder) => self.inner.item(request.key).map_or_else(
                || accepted.clone(),
                |item| Accepted {
                    receipt: item.receipt,
                    ..accepted.clone()
                },
            ),
            Some(_) | None => accepted.clone(),
        };
        let begun = self.inner.begin_round(request, &accepted, not_before).await;
        let receipt = accepted.receipt.as_ref();
        let has_id = receipt.is_some_and(|receipt| receipt.delivery_id.is_some());
        if begun.is_ok() && !has_id {
            // Within five seconds a record of an earlier attempt, whose answer was lost, counts as one of this
            // delivery: times cannot tell them apart.
            let key = request.key.as_str();
            self.history.excuse(key, "its record is compared by time");
        }
        begun
    }

    async fn look_up(&self, key: &EventKey) -> Result<Option<KnownState>, LedgerError> {
        self.inner.look_up(key).await
    }

    async fn index_delivery(
        &self,
        delivery_id: &str,
        key: &EventKey,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let unrecorded = || {
            self.history
                .excuse(key.as_str(), "its delivery is not indexed");
        };
        let mut waiting = Waiting::or_else(unrecorded);
        let indexed = self.inner.index_delivery(delivery_id, key, now).await;
        waiting.answered = indexed.is_ok();
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
        let (key, life) = (lease.key.as_str(), self.at_work.life());
        let archived = matches!(settlement, Settlement::Archived(_));
        let mut waiting = Waiting::or_else(|| self.history.not_settled(key));
        waiting.answered = !archived;
        let late = self.is_late(lease);
        self.history.gives_back(key, life, &settlement);
        let settlement = match settlement {
            Settlement::Archived(code) if self.bug == Some(Bug::ArchivedIsGivenBack) => {
                Settlement::Deferred(code)
            }
            Settlement::Completed(_)
            | Settlement::Archived(_)
            | Settlement::Failed(_)
            | Settlement::Deferred(_) => settlement,
        };
        let settled = self.inner.settle(lease, settlement, now).await;
        waiting.answered |= settled.is_ok();
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

    async fn limits(&self, queue_arn: &str) -> Result<QueueLimits, String> {
        // A queue whose attributes cannot be read counts as one that keeps messages for 14 days.
        let limits = loop {
            if let Ok(limits) = self.inner.limits(queue_arn).await {
                break limits;
            }
        };
        Ok(if self.bug == Some(Bug::RetentionIgnored) {
            QueueLimits {
                retention: Duration::from_secs(14 * 24 * 3_600),
                ..limits
            }
        } else {
            limits
        })
    }
}

pub(crate) struct WatchedTarget {
    pub(crate) inner: MemoryTarget,
    pub(crate) late: Late,
    pub(crate) chance: Chance,
    pub(crate) misfortune: Arc<Misfortune>,
    /// The right time.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) places: Arc<Places>,
    pub(crate) at_work: AtWork,
    pub(crate) bug: Option<Bug>,
}

impl WatchedTarget {
    /// The target has accepted a delivery, and may fail later.
    fn may_fail_later(&self, delivery: &Delivery<'_>, id: &str) {
        let posts = self.places.posted();
        let posted = posts.iter().find(|it| it.letter.body() == delivery.payload);
        if let Some(posted) = posted {
            self.places.late.accepted(
                &self.late,
                &self.chance,
                self.misfortune.is_over(),
                (posted.letter, delivery.key.as_str(), id),
                (posted.group.clone(), self.clock.now()),
            );
        }
    }

    /// The id of an accepted delivery of this name, where the target drops a second one.
    fn known(&self, name: &str) -> Option<DeliveryId> {
        let accepted = self.inner.accepted();
        let known = accepted.iter().find(|it| it.name == name);
        known
            .filter(|_| self.late.deduplicates)?
            .delivery_id
            .clone()
    }

    fn accepted(&self) -> usize {
        self.inner.accepted().len()
    }

    /// The acceptance of a delivery, if there is one after the first `before`. Another life may deliver at the same
    /// time, under another number.
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

/// Notices an acceptance even when nobody waits for its answer any more.
struct Noticing<'w> {
    target: &'w WatchedTarget,
    delivery: &'w Delivery<'w>,
    /// The key that is sent.
    key: &'w EventKey,
    life: Life,
    before: usize,
    pub(crate) answered: bool,
}

impl Drop for Noticing<'_> {
    fn drop(&mut self) {
        let acceptance = self
            .target
            .acceptance(self.delivery, self.key.as_str(), self.before);
        if let Some(acceptance) = acceptance {
            if let Some(id) = &acceptance.delivery_id {
                self.target.may_fail_later(self.delivery, id);
            }
            let history = &self.target.places.history;
            let key = self.delivery.key.as_str();
            history.accepted(key, self.life);
            let places = &self.target.places;
            if places.is_rejected(self.delivery.key) && !places.was_meant(self.delivery.key) {
                history.accepted_after_archiving(key);
            }
            if !self.answered {
                history.excuse(key, "and nobody hears of it");
            }
        }
    }
}

impl Target for WatchedTarget {
    async fn deliver(&self, delivery: &Delivery<'_>) -> Result<Option<DeliveryId>, DeliveryError> {
        let item = self.places.ledger.item(delivery.key);
        let recorded = item.is_some_and(|item| item.delivered.is_some());
        let (key, life) = (delivery.key.as_str(), self.at_work.life());
        let attempt = delivery.attempt_count;
        self.places.history.delivering(key, life, attempt, recorded);
        self.places.check_order(delivery.key);
        let fresh = MessageId::new(format!("fresh-{life}-{attempt}"));
        let fresh = fresh.map(|id| EventKey::new(None, &id, delivery.destination));
        let fresh = fresh.filter(|_| self.bug == Some(Bug::FreshKeyEachTime));
        let sent = Delivery {
            key: fresh.as_ref().unwrap_or(delivery.key),
            ..*delivery
        };
        let mut noticing = Noticing {
            target: self,
            delivery,
            key: sent.key,
            life,
            before: self.accepted(),
            answered: false,
        };
        let first = delivery.key.digest();
        let sent = Delivery {
            name: if self.bug == Some(Bug::RoundSwallowed) {
                &first
            } else {
                sent.name
            },
            ..sent
        };
        let answer = match self.known(sent.name) {
            Some(known) => Ok(Some(known)),
            None => self.inner.deliver(&sent).await,
        };
        noticing.answered = answer.is_ok();
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
        answer.map(|id| id.filter(|_| self.late.gives_ids))
    }
}

pub(crate) struct WatchedArchive {
    pub(crate) inner: MemoryArchive,
    pub(crate) history: Arc<History>,
    pub(crate) bug: Option<Bug>,
}

impl Archive for WatchedArchive {
    async fn put(&self, entry: &Entry<'_>) -> Result<String, ArchiveError> {
        let not_settled = || self.history.not_settled(entry.key.as_str());
        let mut waiting = Waiting::or_else(not_settled);
        let stored = self.inner.put(entry).await;
        waiting.answered = stored.is_ok();
        match stored {
            Err(_) if self.bug == Some(Bug::ArchiveNotAwaited) => Ok("nowhere".to_owned()),
            stored => stored,
        }
    }
}
