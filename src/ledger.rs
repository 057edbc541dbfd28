//! The ledger: one item per event, which holds its lease and its state.

mod item_state;
mod replay_note;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;

use crate::clock::Timestamp;
use crate::dead_letter::{DELIVERY_INDEX, EventId, FormerId};
use crate::destination::{Destination, LATEST};
use crate::digest;
use crate::failure::{Accepted, FailureCode, Receipt};
use crate::message::MessageId;
pub use item_state::{ClaimTerms, Claimable, ItemState};
pub use replay_note::ReplayNote;

/// The key `<event id>|<delivery target>`: the same event may have failed at two targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey(String);

impl EventKey {
    /// Returns the key of an event. An event without an id of its own uses the message id.
    #[must_use]
    pub fn new(
        event_id: Option<&EventId>,
        message_id: &MessageId,
        destination: &Destination,
    ) -> Self {
        let id = event_id.map_or(message_id.as_str(), EventId::as_str);
        Self(format!("{id}|{}", destination.key_part()))
    }

    /// Returns the key of the item that leads from a delivery to its event. No event has the id `delivery`.
    #[must_use]
    pub fn of_delivery(delivery_id: &str) -> Self {
        Self(format!("{DELIVERY_INDEX}|{delivery_id}"))
    }

    /// Returns the key of the same event at another destination.
    #[must_use]
    pub fn at(&self, destination: &Destination) -> Self {
        Self(format!("{}|{}", self.event_id(), destination.key_part()))
    }

    /// Returns true if this is the key of an event at this destination.
    #[must_use]
    pub fn is_at(&self, destination: &Destination) -> bool {
        let target = self.0.split_once('|').map(|(_, target)| target);
        target == Some(destination.key_part())
    }

    /// Returns the keys that version 0.1.0 may have given the event: with the id of that time, and with `$LATEST` after the
    /// name of a function. Empty for most events.
    #[must_use]
    pub fn former(&self, id: Option<&FormerId>, destination: &Destination) -> Vec<FormerKey> {
        let with_id = |FormerId { id, is_shared }: &FormerId| FormerKey {
            key: Self(format!("{}|{}", id.as_str(), destination.key_part())),
            is_shared: *is_shared,
        };
        let mut keys: Vec<FormerKey> = id.map(with_id).into_iter().collect();
        if let Destination::Lambda(arn) = destination
            && arn.function() == Some(arn.as_str())
        {
            let current = FormerKey { key: self.clone(), is_shared: false };
            let unqualified: Vec<_> = keys.iter().cloned().chain([current]).collect();
            keys.extend(unqualified.into_iter().map(FormerKey::with_latest));
        }
        keys
    }

    /// Returns this key, and then those of [`former`](Self::former).
    #[must_use]
    pub fn with_former(&self, id: Option<&FormerId>, destination: &Destination) -> Vec<FormerKey> {
        let current = FormerKey { key: self.clone(), is_shared: false };
        std::iter::once(current).chain(self.former(id, destination)).collect()
    }

    /// Creates a key from its stored text.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the name of one delivery, 64 hexadecimal digits, for services that drop a second delivery with
    /// the same name. All attempts of one round share the name. Another round, an operator replay, or a
    /// delivery after one with a reported failure has another name.
    #[must_use]
    pub fn delivery_name(&self, round: u32, plan: Option<&str>, failed: Option<&str>) -> String {
        match (round, plan, failed) {
            (..=1, None, None) => self.digest(),
            (round, plan, failed) => {
                let plan = plan.unwrap_or_default();
                let failed = failed.map(|id| format!("\n{id}")).unwrap_or_default();
                digest::hexadecimal(&format!("{self}\n{round}\n{plan}{failed}"))
            }
        }
    }

    /// Returns the event's id: the key without the target.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.0.split('|').next().unwrap_or_default()
    }

    /// Returns the digest of the key, 64 hexadecimal digits, for services that recognise repetitions by name.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::hexadecimal(&self.0)
    }

    /// Returns the key's text. For every destination that can be called, it is valid in an HTTP header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key that version 0.1.0 may have given an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerKey {
    /// The key.
    pub key: EventKey,
    /// True if several events may have had the key. The item then belongs to the event only if something else proves it,
    /// such as the message id.
    pub is_shared: bool,
}

impl FormerKey {
    /// Returns true if the item under this key is of the event in a message.
    #[must_use]
    pub fn has_item_of(&self, message: &MessageId, item: &KnownState) -> bool {
        !self.is_shared || item.accepted.message_id.as_deref() == Some(message.as_str())
    }

    fn with_latest(self) -> Self {
        Self { key: EventKey(format!("{}{LATEST}", self.key)), ..self }
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request for the lease of an event.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// The event.
    pub key: &'a EventKey,
    /// The id of the claiming worker, never reused.
    pub owner: String,
    /// The time of the request.
    pub now: Timestamp,
    /// The end of the lease: just after the invocation's deadline.
    pub lease_until: Timestamp,
    /// The finished events that the claim may reopen.
    pub reopen: ReopenPolicy,
    /// True if the message is a failure record. A delivered event is then not claimed for its bookkeeping:
    /// the answer is [`Claim::Delivered`].
    pub is_failure_record: bool,
    /// True if the claim may start a new round before its delay is over: an operator replay, or the last
    /// receive of a message.
    pub ignores_delay: bool,
    /// Details for people, stored with the claim.
    pub about: ClaimMetadata<'a>,
}

impl ClaimRequest<'_> {
    /// Returns the terms that decide the answer.
    #[must_use]
    pub const fn terms(&self) -> ClaimTerms {
        ClaimTerms {
            now: self.now,
            reopen: self.reopen,
            is_failure_record: self.is_failure_record,
            ignores_delay: self.ignores_delay,
        }
    }
}

/// The finished events that a claim may reopen. A completed event is never reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReopenPolicy {
    /// No finished event.
    Never,
    /// Rejected events that could not be archived, because an archive exists by now.
    Failed,
    /// Failed and archived events, for an operator replay.
    FailedAndArchived,
}

/// Details of an event in the ledger, for people.
#[derive(Clone, Copy, Debug)]
pub struct ClaimMetadata<'a> {
    /// The message that carried the event.
    pub message_id: &'a MessageId,
    /// The event's interaction, if it has one.
    pub interaction_id: Option<&'a str>,
    /// The category of the first failure.
    pub category: &'static str,
    /// The target of the delivery.
    pub target: &'a str,
    /// The event's type, if it has one.
    pub event_type: Option<&'a str>,
    /// The target that the dead letter names. With a fixed target, it is another one than `target`.
    pub original_target: Option<&'a str>,
    /// The plan of an operator replay.
    pub replay: Option<ReplayNote<'a>>,
}

/// The exclusive right to handle an event until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The event.
    pub key: EventKey,
    /// The id of the holder: a condition of every later write.
    pub owner: String,
    /// The number of the attempt that this claim allows, counted over all deliveries from 1.
    pub attempt: u32,
    /// The attempt that the target accepted, if only the bookkeeping remains.
    pub delivered: Option<u32>,
    /// The target's receipt for that attempt; `None` in items of older versions.
    pub receipt: Option<Receipt>,
    /// The number of the round, from 1. It grows by one after each accepted delivery that failed later.
    pub round: u32,
    /// The time of the event's first claim.
    pub first_seen: Timestamp,
    /// The start of the retries: the first claim, the latest operator replay or the latest round.
    pub retry_since: Timestamp,
    /// True if the target may have accepted an earlier attempt of this round. Its answer was lost, or the
    /// function stopped before recording it.
    pub maybe_delivered: bool,
    /// The counts of answers that may be the event's fault or the target's.
    pub answers: AnswerCounts,
    /// The time at which the event was last settled.
    pub processed: Option<Timestamp>,
}

/// Counts of failed attempts, in different receives, that may be the event's fault or its target's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AnswerCounts {
    /// Configuration answers: wrong credentials, address or method.
    pub configuration: u32,
    /// Attempts without an answer: timeouts, resets, lost answers of a gateway.
    pub unanswered: u32,
}

impl Lease {
    /// Returns true if the item shows no accepted delivery and no operator replay.
    #[must_use]
    pub fn is_in_first_round(&self) -> bool {
        self.round == 1 && self.delivered.is_none() && self.retry_since == self.first_seen
    }

    /// Returns the attempt number that the interaction and the ledger show at the end.
    #[must_use]
    pub fn reported_attempt(&self) -> u32 {
        self.delivered.unwrap_or(self.attempt)
    }
}

/// The state of an event without a claim on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownState {
    /// The status; `None` if this version does not define it.
    pub status: Option<Status>,
    /// The attempt that the target accepted.
    pub delivered: Option<u32>,
    /// The failure code.
    pub code: Option<FailureCode>,
    /// The accepted delivery, for comparison with a failure record.
    pub accepted: Accepted,
}

/// The answer to a claim; `L` is the lease or, for a prediction, the item's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim<L = Lease> {
    /// The caller holds the event until the lease ends.
    Acquired(L),
    /// The event is finished and needs no further work.
    AlreadyDone,
    /// The event was rejected with this code and waits for SQS to move it to the parking queue.
    PreviouslyRejected(FailureCode),
    /// Another worker holds the event, at the latest until this time.
    HeldUntil(Timestamp),
    /// The event has no holder, but the delay of its new round is not over.
    Delayed {
        /// The number of the round.
        round: u32,
        /// The end of the delay.
        until: Timestamp,
    },
    /// The event was delivered, and the message is a failure record: the caller compares the two.
    Delivered(Accepted),
}

/// The result of handling an event in one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Delivered; the code names a bookkeeping step that failed, if any.
    Completed(Option<FailureCode>),
    /// Rejected and archived.
    Archived(FailureCode),
    /// Rejected without an archive.
    Failed(FailureCode),
    /// Deferred to the next delivery of the message.
    Deferred(FailureCode),
}

/// The reasons for a failed ledger operation.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The ledger is unreachable or does not work. The caller defers; it never continues without a claim.
    #[error("the ledger is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The event's own item is invalid, for example after a manual edit. The caller defers this message only,
    /// because the ledger works.
    #[error("the ledger item's {0} cannot be read")]
    Unreadable(&'static str),
    /// The lease ended and another worker took the event, or a later write has already taken effect. The
    /// caller must not touch the event again.
    #[error("the lease was lost to another worker")]
    LeaseLost,
}

/// The store of claims.
///
/// Every write is atomic. Every write after a claim has the owner as a condition and returns
/// [`LedgerError::LeaseLost`] if that owner no longer holds the event. Repeating a write with the same lease
/// changes nothing, so an implementation may retry after a lost answer.
pub trait Ledger: Send + Sync {
    /// Claims an event that is new or deferred, whose lease has ended, or that may be reopened. Counts one
    /// attempt.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; a refused claim is not an error.
    fn claim(
        &self,
        request: &ClaimRequest<'_>,
    ) -> impl Future<Output = Result<Claim, LedgerError>> + Send;

    /// Counts one more attempt under the same lease, before the attempt starts. The count never decreases: a
    /// write that arrives after a later one is refused.
    ///
    /// # Errors
    /// The errors of the trait. The lease then stays unchanged.
    fn next_attempt(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Result<Lease, LedgerError>> + Send;

    /// Stores that the target accepted the current attempt, with the lease's receipt. The event is not
    /// delivered again.
    ///
    /// # Errors
    /// The errors of the trait. The event may then be delivered again once the lease has ended.
    fn checkpoint(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LedgerError>> + Send;

    /// Begins a new round of a delivered event whose target failed later. The event becomes deferred and not
    /// delivered; its round is one more than that of `accepted`; its attempts count on. Until `not_before`, a
    /// claim returns [`Claim::Delayed`] unless it ignores the delay: another message of the event must not
    /// shorten the delay.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] if the item does not have the delivery `accepted` any more; otherwise the
    /// errors of the trait.
    fn begin_round(
        &self,
        request: &ClaimRequest<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Stores the event of a delivery, if its failure record would not identify the event: for events without
    /// an id of their own.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    fn index_delivery(
        &self,
        delivery_id: &str,
        key: &EventKey,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Returns the state of an event that may have another key; `None` without an item. Changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    fn look_up(
        &self,
        key: &EventKey,
    ) -> impl Future<Output = Result<Option<ItemState>, LedgerError>> + Send;

    /// Returns the event of an indexed delivery; `None` for every other delivery.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    fn find_delivery(
        &self,
        delivery_id: &str,
    ) -> impl Future<Output = Result<Option<EventKey>, LedgerError>> + Send;

    /// Settles an event and releases the lease. The count of attempts stays, except for a delivered event:
    /// the item then shows the accepted attempt.
    ///
    /// # Errors
    /// The errors of the trait. The event then stays held until the lease ends.
    fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// The status of an event in its ledger item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// A worker holds the event, or died while holding it.
    InProgress,
    /// Waiting for another attempt.
    Deferred,
    /// Delivered.
    Completed,
    /// Rejected and archived.
    Archived,
    /// Rejected without an archive.
    Failed,
    /// An operator decided not to deliver the event. Final.
    Discarded,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::InProgress,
        Self::Deferred,
        Self::Completed,
        Self::Archived,
        Self::Failed,
        Self::Discarded,
    ];

    /// Returns the value of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Deferred => "DEFERRED",
            Self::Completed => "COMPLETED",
            Self::Archived => "ARCHIVED",
            Self::Failed => "FAILED",
            Self::Discarded => "DISCARDED",
        }
    }

    /// Returns the status with this name, or `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Returns true if nothing more happens to the event on its own.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Archived | Self::Failed | Self::Discarded => true,
            Self::InProgress | Self::Deferred => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
