//! The rules by which the ledger changes one item, without the storage. The model of a claim uses them
//! too.

use std::collections::BTreeMap;
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::failure::{Accepted, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimRequest, EventKey, Lease, ReopenPolicy, ReplayNote, Settlement,
    Status,
};

/// The item of one event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// The status.
    pub status: Status,
    /// The holder of the lease, or the last one.
    pub owner: String,
    /// The end of the lease.
    pub lease_until: Timestamp,
    /// The attempts so far.
    pub attempts: u32,
    /// The attempt that the target accepted.
    pub delivered: Option<u32>,
    /// The target's receipt for it.
    pub receipt: Option<Receipt>,
    /// The number of the delivery, from 1.
    pub round: u32,
    /// The begin of the retries.
    pub retry_since: Timestamp,
    /// True if an attempt may have been accepted.
    pub maybe_delivered: bool,
    /// The counts of responses that the event may have caused.
    pub answers: AnswerCounts,
    /// The earliest begin of the new round.
    pub not_before: Option<Timestamp>,
    /// The failure code.
    pub code: Option<FailureCode>,
    /// The time of the first claim.
    pub first_seen: Timestamp,
    /// The time of the last settlement.
    pub processed_at: Option<Timestamp>,
    /// The expiry of the item, in seconds since the Unix epoch.
    pub expires_at: u64,
    about: BTreeMap<&'static str, String>,
}

impl Item {
    /// Returns the attributes of the table, all as text.
    #[must_use]
    pub fn attributes(&self, key: &EventKey) -> BTreeMap<String, String> {
        let step = if self.delivered.is_some() { "REPLAYED" } else { "CLAIMED" };
        let always = [
            ("EventId", key.to_string()),
            ("Status", self.status.to_string()),
            ("Step", step.to_owned()),
            ("Owner", self.owner.clone()),
            ("LeaseUntil", self.lease_until.as_millis().to_string()),
            ("Attempts", self.attempts.to_string()),
            ("FirstSeenAt", self.first_seen.to_string()),
            ("ExpiresAt", self.expires_at.to_string()),
            ("Rounds", self.round.to_string()),
            ("RetrySince", self.retry_since.as_millis().to_string()),
        ];
        let receipt = self.receipt.as_ref();
        let sometimes = [
            ("DeliveryId", receipt.and_then(|receipt| receipt.delivery_id.clone())),
            ("DeliveredAt", receipt.map(|receipt| receipt.at.as_millis().to_string())),
            ("DeliveredAttempt", self.delivered.map(|it| it.to_string())),
            ("FailureCode", self.code.map(|it| it.as_str().to_owned())),
            ("ProcessedAt", self.processed_at.map(|it| it.to_string())),
            ("MaybeDelivered", self.maybe_delivered.then(|| "true".to_owned())),
            (
                "ConfigurationAnswers",
                Some(self.answers.configuration).filter(|it| *it > 0).map(|it| it.to_string()),
            ),
            (
                "UnansweredAttempts",
                Some(self.answers.unanswered).filter(|it| *it > 0).map(|it| it.to_string()),
            ),
            ("NotBefore", self.not_before.map(|it| it.as_millis().to_string())),
        ];
        let sometimes = sometimes.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let about = self.about.iter().map(|(name, value)| (*name, value.clone()));
        always
            .into_iter()
            .chain(sometimes)
            .chain(about)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn may_be_claimed(&self, request: &ClaimRequest<'_>) -> bool {
        if request.is_failure_record && self.delivered.is_some() {
            return false;
        }
        match self.status {
            Status::InProgress => self.lease_until < request.now,
            Status::Deferred => request.ignores_delay || self.delay(request.now).is_none(),
            Status::Completed | Status::Discarded => false,
            Status::Archived => request.reopen == ReopenPolicy::FailedAndArchived,
            Status::Failed => request.reopen != ReopenPolicy::Never,
        }
    }

    /// Returns the end of the delay of the new round, if it is in the future.
    fn delay(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_before.filter(|at| *at > now)
    }

    fn lease(&self, request: &ClaimRequest<'_>) -> Lease {
        Lease {
            key: request.key.clone(),
            owner: request.owner.clone(),
            attempt: self.attempts,
            delivered: self.delivered,
            receipt: self.receipt.clone(),
            round: self.round,
            first_seen: self.first_seen,
            retry_since: self.retry_since,
            maybe_delivered: self.maybe_delivered,
            answers: self.answers,
            processed: self.processed_at,
        }
    }

    fn keep_uncertain(&mut self, lease: &Lease) {
        self.maybe_delivered |= lease.maybe_delivered;
        let kept = |new: u32, old: u32| if new > 0 { new } else { old };
        self.answers.configuration = kept(lease.answers.configuration, self.answers.configuration);
        self.answers.unanswered = kept(lease.answers.unanswered, self.answers.unanswered);
    }

    /// Returns the delivery that the target has accepted.
    #[must_use]
    pub fn accepted(&self) -> Accepted {
        Accepted {
            receipt: self.receipt.clone(),
            first_seen: self.first_seen,
            round: self.round,
            message_id: self.about.get("MessageId").cloned(),
        }
    }

    /// Returns true if the target has accepted the event and no lease runs.
    fn is_delivered(&self, now: Timestamp) -> bool {
        let is_free = match self.status {
            Status::InProgress => self.lease_until < now,
            Status::Deferred | Status::Completed => true,
            Status::Archived | Status::Failed | Status::Discarded => false,
        };
        is_free && self.delivered.is_some()
    }
}

/// An injected bug, to check that the tests of a ledger find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A write after a claim does not check the holder.
    NoFencing,
    /// A release does not check the holder.
    ReleaseWithoutOwner,
    /// A lease ends at once.
    NoLease,
    /// The checkpoint is not written.
    NoCheckpoint,
    /// Each claim counts its attempts from 1.
    AttemptsStartOver,
    /// An item expires before its message.
    ExpiresTooSoon,
    /// A new round has the number of the former one.
    RoundsNotCounted,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 7] = [
        Self::NoFencing,
        Self::ReleaseWithoutOwner,
        Self::NoLease,
        Self::NoCheckpoint,
        Self::AttemptsStartOver,
        Self::ExpiresTooSoon,
        Self::RoundsNotCounted,
    ];
}

/// Another worker holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLost;

/// The rules by which a ledger changes its items, optionally with a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    remember: Duration,
    flaw: Option<Flaw>,
}

impl Rules {
    /// Returns the correct rules, with items that expire after `remember`.
    #[must_use]
    pub const fn new(remember: Duration) -> Self {
        let flaw = None;
        Self { remember, flaw }
    }

    /// Returns the same rules with a flaw.
    #[must_use]
    pub const fn flawed(self, flaw: Flaw) -> Self {
        let flaw = Some(flaw);
        Self { flaw, ..self }
    }

    fn has(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn expires_at(self, now: Timestamp) -> u64 {
        let remember = if self.has(Flaw::ExpiresTooSoon) {
            Duration::from_secs(24 * 3_600)
        } else {
            self.remember
        };
        now.plus(remember).as_secs()
    }

    /// Returns the result of a claim on the item `before`, and the new item if the claim succeeded.
    #[must_use]
    pub fn claim(self, before: Option<&Item>, request: &ClaimRequest<'_>) -> (Claim, Option<Item>) {
        if let Some(item) = before
            && !item.may_be_claimed(request)
        {
            let refusal = match item.status {
                // Repeated by its holder, because the first response was lost.
                Status::InProgress if item.owner == request.owner => {
                    Claim::Acquired(item.lease(request))
                }
                _ if request.is_failure_record && item.is_delivered(request.now) => {
                    Claim::Delivered(item.accepted())
                }
                Status::InProgress => Claim::HeldUntil(item.lease_until),
                Status::Deferred => match item.delay(request.now) {
                    Some(until) if !request.ignores_delay => {
                        Claim::Delayed { round: item.round, until }
                    }
                    Some(_) | None => Claim::HeldUntil(request.now),
                },
                Status::Completed | Status::Archived | Status::Discarded => Claim::AlreadyDone,
                Status::Failed => {
                    Claim::PreviouslyRejected(item.code.unwrap_or(FailureCode::Internal))
                }
            };
            return (refusal, None);
        }
        let about = request.about;
        let mut facts = BTreeMap::from([
            ("MessageId", about.message_id.to_string()),
            ("Category", about.category.to_owned()),
            ("Target", about.target.to_owned()),
        ]);
        let interaction = about.interaction_id.map(str::to_owned);
        let known = before.and_then(|item| item.about.get("InteractionId").cloned());
        facts.extend(interaction.or(known).map(|id| ("InteractionId", id)));
        match about.replay {
            // They describe the last operator replay together.
            Some(ReplayNote { plan, by, reason }) => facts.extend(
                [("PlanId", Some(plan)), ("By", by), ("Reason", reason)]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?.to_owned()))),
            ),
            None => facts.extend(
                ["PlanId", "By", "Reason"]
                    .into_iter()
                    .filter_map(|name| Some((name, before?.about.get(name)?.clone()))),
            ),
        }
        let counted = before.filter(|_| !self.has(Flaw::AttemptsStartOver));
        // An operator replay begins again at round 1.
        let is_rejected = |item: &&Item| matches!(item.status, Status::Archived | Status::Failed);
        let begins_anew = request.reopen == ReopenPolicy::FailedAndArchived;
        let going_on = before.filter(|item| !(begins_anew && is_rejected(item)));
        let item = Item {
            status: Status::InProgress,
            owner: request.owner.clone(),
            lease_until: if self.has(Flaw::NoLease) { request.now } else { request.lease_until },
            attempts: counted.map_or(0, |item| item.attempts) + 1,
            delivered: before.and_then(|item| item.delivered),
            receipt: before.and_then(|item| item.receipt.clone()),
            round: going_on.map_or(1, |item| item.round),
            retry_since: going_on.map_or(request.now, |item| item.retry_since),
            maybe_delivered: before
                .is_some_and(|item| item.maybe_delivered || item.status == Status::InProgress),
            answers: going_on.map_or_else(AnswerCounts::default, |item| item.answers),
            not_before: None,
            code: before.and_then(|item| item.code),
            first_seen: before.map_or(request.now, |item| item.first_seen),
            processed_at: before.and_then(|item| item.processed_at),
            expires_at: self.expires_at(request.now),
            about: facts,
        };
        (Claim::Acquired(item.lease(request)), Some(item))
    }

    /// Counts one more attempt.
    ///
    /// # Errors
    /// The lease is lost, as for every change.
    pub fn next_attempt(self, item: &mut Item, lease: &Lease) -> Result<(), LeaseLost> {
        self.check(item, lease)?;
        let next = lease.attempt.saturating_add(1);
        if item.attempts > next {
            return Err(LeaseLost);
        }
        item.attempts = next;
        item.keep_uncertain(lease);
        Ok(())
    }

    /// Writes the checkpoint.
    ///
    /// # Errors
    /// As for every change.
    pub fn checkpoint(self, item: &mut Item, lease: &Lease) -> Result<(), LeaseLost> {
        self.check(item, lease)?;
        if !self.has(Flaw::NoCheckpoint) {
            item.delivered = Some(lease.attempt);
            item.receipt = lease.receipt.clone().or(item.receipt.take());
        }
        Ok(())
    }

    /// Begins a new round of a delivered event.
    ///
    /// # Errors
    /// The item has another delivery by now.
    pub fn begin_round(
        self,
        item: &mut Item,
        request: &ClaimRequest<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> Result<(), LeaseLost> {
        let round = accepted.round.saturating_add(1);
        let is_same = item.is_delivered(request.now) && item.receipt == accepted.receipt;
        if !is_same {
            // The round has begun, and the response was lost.
            let again =
                item.owner == request.owner && item.round == round && item.delivered.is_none();
            return if again { Ok(()) } else { Err(LeaseLost) };
        }
        item.status = Status::Deferred;
        item.owner.clone_from(&request.owner);
        let message_id = request.about.message_id.to_string();
        item.about.insert("MessageId", message_id);
        item.delivered = None;
        item.receipt = None;
        item.maybe_delivered = false;
        item.answers = AnswerCounts::default();
        if !self.has(Flaw::RoundsNotCounted) {
            item.round = round;
        }
        item.retry_since = request.now;
        item.not_before = Some(not_before);
        item.code = Some(FailureCode::FailedAfterAcceptance);
        item.processed_at = Some(request.now);
        item.expires_at = self.expires_at(request.now);
        Ok(())
    }

    /// Settles the event.
    ///
    /// # Errors
    /// As for every change.
    pub fn settle(
        self,
        item: &mut Item,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LeaseLost> {
        let (status, code) = match settlement {
            Settlement::Completed(code) => (Status::Completed, code),
            Settlement::Archived(code) => (Status::Archived, Some(code)),
            Settlement::Failed(code) => (Status::Failed, Some(code)),
            Settlement::Deferred(code) => (Status::Deferred, Some(code)),
        };
        let forced = status == Status::Deferred && self.has(Flaw::ReleaseWithoutOwner);
        if let (Err(lost), false) = (self.check(item, lease), forced) {
            // The event is settled, and the response was lost.
            let again = item.owner == lease.owner && item.status == status;
            return if again { Ok(()) } else { Err(lost) };
        }
        item.status = status;
        if let Some(attempt) = lease.delivered {
            item.attempts = attempt;
        }
        item.processed_at = Some(now);
        item.expires_at = self.expires_at(now);
        item.keep_uncertain(lease);
        item.delivered = lease.delivered.or(item.delivered);
        if lease.delivered.is_some() {
            item.receipt = lease.receipt.clone().or(item.receipt.take());
        }
        item.code = code;
        Ok(())
    }

    /// The condition of every write after a claim.
    fn check(self, item: &Item, lease: &Lease) -> Result<(), LeaseLost> {
        let held = item.owner == lease.owner && item.status == Status::InProgress;
        if held || self.has(Flaw::NoFencing) { Ok(()) } else { Err(LeaseLost) }
    }
}
