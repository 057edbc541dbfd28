//! The event's item, in the few numbers that matter, and changed by the rules of the fake ledger, which
//! the conformance suite holds equal to the real one.

use genesys_fakes::{Item, LeaseLost, Life, Rules, Status};
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Accepted, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimMetadata, ClaimRequest, EventKey, Lease, ReopenPolicy, Settlement,
};
use genesys_replay::message::MessageId;

/// Why an event is given back or given up does not matter here.
const CODE: FailureCode = FailureCode::Exhausted;

/// What of an item decides what can be done to it. Two items that differ only in what people read are
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) status: Status,
    pub(crate) owner: Life,
    pub(crate) lease_until: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) delivered: Option<u32>,
    /// The acceptance that the item has, counted from 1.
    pub(crate) receipt: Option<u32>,
    pub(crate) round: u32,
    /// In seconds since the Unix epoch.
    pub(crate) expires_at: u64,
}

impl Kept {
    fn of(item: &Item) -> Self {
        Self {
            status: item.status,
            owner: item.owner.parse().unwrap_or_default(),
            lease_until: item.lease_until,
            attempts: item.attempts,
            delivered: item.delivered,
            receipt: item.receipt.as_ref().and_then(acceptance),
            round: item.round,
            expires_at: item.expires_at,
        }
    }
}

/// A lease, without what is the same in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) attempt: u32,
    pub(crate) delivered: Option<u32>,
    /// The acceptance that the holder knows of.
    pub(crate) receipt: Option<u32>,
    pub(crate) round: u32,
}

/// The delivery id of an acceptance is its number.
fn receipt(acceptance: u32) -> Receipt {
    Receipt {
        delivery_id: Some(acceptance.to_string()),
        at: Timestamp::from_millis(0),
    }
}

fn acceptance(receipt: &Receipt) -> Option<u32> {
    receipt.delivery_id.as_ref()?.parse().ok()
}

/// What a worker asks of the ledger once it holds the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    NextAttempt,
    Checkpoint,
    Complete,
    Archived,
    Failed,
    Release,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Ours(Held),
    /// It was delivered as this acceptance in this round; only a failure record is told.
    Delivered(Option<u32>, u32),
    Done,
    GivenUp,
    Held,
}

/// The kind of message that a claim is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    pub(crate) reopen: ReopenPolicy,
    pub(crate) is_failure_record: bool,
}

/// The ledger's rules, and an item to put numbers into.
pub(crate) struct Ledger {
    rules: Rules,
    key: EventKey,
    message: MessageId,
    blank: Item,
}

impl Ledger {
    /// `None` if the event of the model has no proper name.
    pub(crate) fn new(rules: Rules) -> Option<Self> {
        let message = MessageId::new("m")?;
        let id: Option<&EventId> = None;
        let key = EventKey::new(id, &message, &Destination::None);
        let start = Timestamp::from_millis(0);
        let request = request(&key, &message, 0, start, start);
        let (_, blank) = rules.claim(None, &request);
        let blank = blank?;
        Some(Self {
            rules,
            key,
            message,
            blank,
        })
    }

    fn item(&self, kept: Kept) -> Item {
        let mut item = self.blank.clone();
        item.status = kept.status;
        item.owner = kept.owner.to_string();
        item.lease_until = kept.lease_until;
        item.attempts = kept.attempts;
        item.delivered = kept.delivered;
        item.receipt = kept.receipt.map(receipt);
        item.round = kept.round;
        item.expires_at = kept.expires_at;
        item
    }

    pub(crate) fn claim(
        &self,
        before: Option<Kept>,
        by: Life,
        now: Timestamp,
        lease_until: Timestamp,
        asks: Asks,
    ) -> (Claimed, Option<Kept>) {
        let before = before.map(|kept| self.item(kept));
        let request = ClaimRequest {
            reopen: asks.reopen,
            is_failure_record: asks.is_failure_record,
            ..request(&self.key, &self.message, by, now, lease_until)
        };
        let (claim, after) = self.rules.claim(before.as_ref(), &request);
        let claimed = match claim {
            Claim::Acquired(lease) => Claimed::Ours(Held {
                attempt: lease.attempt,
                delivered: lease.delivered,
                receipt: lease.receipt.as_ref().and_then(acceptance),
                round: lease.round,
            }),
            Claim::Delivered(accepted) => Claimed::Delivered(
                accepted.receipt.as_ref().and_then(acceptance),
                accepted.round,
            ),
            Claim::AlreadyDone => Claimed::Done,
            Claim::PreviouslyRejected(_) => Claimed::GivenUp,
            Claim::HeldUntil(_) | Claim::Delayed { .. } => Claimed::Held,
        };
        let after = after.or(before);
        (claimed, after.as_ref().map(Kept::of))
    }

    /// Begins a new round of the acceptance that the worker was told of.
    pub(crate) fn begin_round(
        &self,
        kept: &mut Kept,
        by: Life,
        held: Held,
        now: Timestamp,
    ) -> Result<(), LeaseLost> {
        let mut item = self.item(*kept);
        let request = request(&self.key, &self.message, by, now, now);
        let accepted = Accepted {
            receipt: held.receipt.map(receipt),
            round: held.round,
            ..item.accepted()
        };
        // The delay is the conformance suite's.
        let begun = self.rules.begin_round(&mut item, &request, &accepted, now);
        *kept = Kept::of(&item);
        begun
    }

    pub(crate) fn change(
        &self,
        kept: &mut Kept,
        change: Change,
        by: Life,
        held: Held,
        now: Timestamp,
    ) -> Result<(), LeaseLost> {
        let mut item = self.item(*kept);
        let lease = Lease {
            key: self.key.clone(),
            owner: by.to_string(),
            attempt: held.attempt,
            delivered: held.delivered,
            receipt: held.receipt.map(receipt),
            round: item.round,
            first_seen: item.first_seen,
            retry_since: item.retry_since,
            maybe_delivered: false,
            answers: AnswerCounts::default(),
            processed: None,
        };
        let settle = |item: &mut Item, settlement| self.rules.settle(item, &lease, settlement, now);
        let done = match change {
            Change::NextAttempt => self.rules.next_attempt(&mut item, &lease),
            Change::Checkpoint => self.rules.checkpoint(&mut item, &lease),
            Change::Complete => settle(&mut item, Settlement::Completed(None)),
            Change::Archived => settle(&mut item, Settlement::Archived(CODE)),
            Change::Failed => settle(&mut item, Settlement::Failed(CODE)),
            Change::Release => settle(&mut item, Settlement::Deferred(CODE)),
        };
        *kept = Kept::of(&item);
        done
    }
}

fn request<'a>(
    key: &'a EventKey,
    message: &'a MessageId,
    by: Life,
    now: Timestamp,
    lease_until: Timestamp,
) -> ClaimRequest<'a> {
    ClaimRequest {
        key,
        owner: by.to_string(),
        now,
        lease_until,
        reopen: ReopenPolicy::Never,
        is_failure_record: false,
        ignores_delay: false,
        about: ClaimMetadata {
            message_id: message,
            interaction_id: None,
            category: "UNKNOWN",
            target: "none",
        },
    }
}
