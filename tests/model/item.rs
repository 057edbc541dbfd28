//! The event's item as a few numbers. The rules of the fake ledger change it; the conformance suite checks
//! that the real ledger has the same rules.

use genesys_fakes::{Item, LeaseLost, Rules, Status, WorkerId};
use genesys_replay::clock::Timestamp;
use genesys_replay::dead_letter::EventId;
use genesys_replay::destination::Destination;
use genesys_replay::failure::{Accepted, FailureCode, Receipt};
use genesys_replay::ledger::{
    AnswerCounts, Claim, ClaimMetadata, ClaimRequest, EventKey, Lease, ReopenPolicy, Settlement,
};
use genesys_replay::message::MessageId;

/// The failure code of every settlement, because the model does not depend on it.
const CODE: FailureCode = FailureCode::Exhausted;

/// The attributes of an item that determine the possible changes. The others are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ItemState {
    pub(crate) status: Status,
    pub(crate) owner: WorkerId,
    pub(crate) lease_until: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) delivered: Option<u32>,
    /// The number of the acceptance, from 1.
    pub(crate) receipt: Option<u32>,
    pub(crate) round: u32,
    /// In seconds since the Unix epoch.
    pub(crate) expires_at: u64,
}

impl ItemState {
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

/// The parts of a lease that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct HeldLease {
    pub(crate) attempt: u32,
    pub(crate) delivered: Option<u32>,
    /// The number of the acceptance in the lease, from 1.
    pub(crate) receipt: Option<u32>,
    pub(crate) round: u32,
}

/// Returns a receipt whose delivery id is the number of the acceptance.
fn receipt(acceptance: u32) -> Receipt {
    Receipt { delivery_id: Some(acceptance.to_string()), at: Timestamp::from_millis(0) }
}

fn acceptance(receipt: &Receipt) -> Option<u32> {
    receipt.delivery_id.as_ref()?.parse().ok()
}

/// A write of the lease holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    NextAttempt,
    Checkpoint,
    Complete,
    Archived,
    Failed,
    Release,
}

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Ours(HeldLease),
    /// The acceptance and the round of the delivery. Only for a failure record.
    Delivered(Option<u32>, u32),
    Done,
    PreviouslyRejected,
    HeldByAnother,
}

/// The kind of the message of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    pub(crate) reopen: ReopenPolicy,
    pub(crate) is_failure_record: bool,
}

/// The rules of the ledger, and a template of an item.
pub(crate) struct Ledger {
    rules: Rules,
    key: EventKey,
    message: MessageId,
    blank: Item,
}

impl Ledger {
    /// Returns a ledger. `None`: the event key of the model is invalid.
    pub(crate) fn new(rules: Rules) -> Option<Self> {
        let message = MessageId::new("m")?;
        let id: Option<&EventId> = None;
        let key = EventKey::new(id, &message, &Destination::None);
        let start = Timestamp::from_millis(0);
        let request = request(&key, &message, 0, start, start);
        let (_, blank) = rules.claim(None, &request);
        let blank = blank?;
        Some(Self { rules, key, message, blank })
    }

    fn item(&self, item_state: ItemState) -> Item {
        let mut item = self.blank.clone();
        item.status = item_state.status;
        item.owner = item_state.owner.to_string();
        item.lease_until = item_state.lease_until;
        item.attempts = item_state.attempts;
        item.delivered = item_state.delivered;
        item.receipt = item_state.receipt.map(receipt);
        item.round = item_state.round;
        item.expires_at = item_state.expires_at;
        item
    }

    pub(crate) fn claim(
        &self,
        before: Option<ItemState>,
        by: WorkerId,
        now: Timestamp,
        lease_until: Timestamp,
        asks: Asks,
    ) -> (Claimed, Option<ItemState>) {
        let before = before.map(|item_state| self.item(item_state));
        let request = ClaimRequest {
            reopen: asks.reopen,
            is_failure_record: asks.is_failure_record,
            ..request(&self.key, &self.message, by, now, lease_until)
        };
        let (claim, after) = self.rules.claim(before.as_ref(), &request);
        let claimed = match claim {
            Claim::Acquired(lease) => Claimed::Ours(HeldLease {
                attempt: lease.attempt,
                delivered: lease.delivered,
                receipt: lease.receipt.as_ref().and_then(acceptance),
                round: lease.round,
            }),
            Claim::Delivered(accepted) => {
                Claimed::Delivered(accepted.receipt.as_ref().and_then(acceptance), accepted.round)
            }
            Claim::AlreadyDone => Claimed::Done,
            Claim::PreviouslyRejected(_) => Claimed::PreviouslyRejected,
            Claim::HeldUntil(_) | Claim::Delayed { .. } => Claimed::HeldByAnother,
        };
        let after = after.or(before);
        (claimed, after.as_ref().map(ItemState::of))
    }

    /// Begins a new round after the acceptance in `held`.
    pub(crate) fn begin_round(
        &self,
        item_state: &mut ItemState,
        by: WorkerId,
        held: HeldLease,
        now: Timestamp,
    ) -> Result<(), LeaseLost> {
        let mut item = self.item(*item_state);
        let request = request(&self.key, &self.message, by, now, now);
        let accepted =
            Accepted { receipt: held.receipt.map(receipt), round: held.round, ..item.accepted() };
        // The conformance suite checks the delay.
        let begun = self.rules.begin_round(&mut item, &request, &accepted, now);
        *item_state = ItemState::of(&item);
        begun
    }

    pub(crate) fn change(
        &self,
        item_state: &mut ItemState,
        change: Change,
        by: WorkerId,
        held: HeldLease,
        now: Timestamp,
    ) -> Result<(), LeaseLost> {
        let mut item = self.item(*item_state);
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
        *item_state = ItemState::of(&item);
        done
    }
}

fn request<'a>(
    key: &'a EventKey,
    message: &'a MessageId,
    by: WorkerId,
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
            event_type: None,
            original_target: None,
            replay: None,
        },
    }
}
