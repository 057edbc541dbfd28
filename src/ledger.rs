//! The ledger: one item per event, deciding who works on it and what has become of it.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;

use crate::clock::Timestamp;
use crate::dead_letter::{DELIVERY_INDEX, EventId};
use crate::destination::{Destination, LATEST};
use crate::digest;
use crate::failure::{Accepted, FailureCode, Receipt};
use crate::message::MessageId;

/// `<event id>|<delivery target>`: the same event may have failed at two targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey(String);

impl EventKey {
    /// The key of an event, or of a message whose event has no id of its own.
    #[must_use]
    pub fn new(
        event_id: Option<&EventId>,
        message_id: &MessageId,
        destination: &Destination,
    ) -> Self {
        let id = event_id.map_or(message_id.as_str(), EventId::as_str);
        Self(format!("{id}|{}", destination.key_part()))
    }

    /// The key of the item that leads from a delivery to its event. No event has the id `delivery`.
    #[must_use]
    pub fn of_delivery(delivery_id: &str) -> Self {
        Self(format!("{DELIVERY_INDEX}|{delivery_id}"))
    }

    /// Returns true if this is the key of an event at this destination.
    #[must_use]
    pub fn is_at(&self, destination: &Destination) -> bool {
        let target = self.0.split_once('|').map(|(_, target)| target);
        target == Some(destination.key_part())
    }

    /// The key that versions before 0.2 gave an event of a function that was named with `$LATEST`: `None` for
    /// every other target.
    #[must_use]
    pub fn former(&self, destination: &Destination) -> Option<Self> {
        let Destination::Lambda(arn) = destination else {
            return None;
        };
        let is_unqualified = arn.resource().matches(':').count() == 1;
        is_unqualified.then(|| Self(format!("{self}{LATEST}")))
    }

    /// Reads a key that the ledger keeps.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name of one delivery, for services that drop a second one of the same name: 64 hexadecimal digits.
    /// The attempts of one round share it; another round, an operator replay, and a delivery after one that
    /// was reported as failed have another.
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

    /// A name for services that tell repetitions by one: 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::hexadecimal(&self.0)
    }

    /// The key's text; for every destination that can be called, fit for an HTTP header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A wish to work on an event.
#[derive(Clone, Debug)]
pub struct ClaimRequest<'a> {
    /// The event.
    pub key: &'a EventKey,
    /// Who asks; never used twice.
    pub owner: String,
    /// The time of asking.
    pub now: Timestamp,
    /// When the claim ends by itself: just after the invocation's deadline.
    pub lease_until: Timestamp,
    /// What else than open events may be taken up again.
    pub reopen: ReopenPolicy,
    /// Whether the message is a failure record. A delivered event is not claimed for its bookkeeping then:
    /// the answer is [`Claim::Delivered`].
    pub is_failure_record: bool,
    /// True if the claim takes a new round before its delay is over: an operator replay, or the last receive
    /// of a message.
    pub ignores_delay: bool,
    /// Kept beside the claim for people.
    pub about: ClaimMetadata<'a>,
}

/// Which finished events a claim may take up again. A completed one never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReopenPolicy {
    /// None.
    Never,
    /// Those given up with nowhere to archive them, since there is an archive now.
    Failed,
    /// Those and the archived: an operator has sent the event again.
    FailedAndArchived,
}

/// What the ledger keeps of an event for people to read.
#[derive(Clone, Copy, Debug)]
pub struct ClaimMetadata<'a> {
    /// The message that brought the event.
    pub message_id: &'a MessageId,
    /// Its interaction, if it has one.
    pub interaction_id: Option<&'a str>,
    /// Why it failed the first time.
    pub category: &'static str,
    /// Where it goes.
    pub target: &'a str,
}

/// The right to work on an event until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The event.
    pub key: EventKey,
    /// Who holds it: a condition of every later write.
    pub owner: String,
    /// The number of the attempt this claim allows, counted over all deliveries from 1.
    pub attempt: u32,
    /// The attempt that the target accepted, when only the bookkeeping is left.
    pub delivered: Option<u32>,
    /// The target's receipt for that attempt; `None` in items of older versions.
    pub receipt: Option<Receipt>,
    /// The number of the delivery that this claim is for, from 1: one more after each accepted delivery that
    /// failed later.
    pub round: u32,
    /// When the event was first claimed.
    pub first_seen: Timestamp,
    /// The beginning of its retries: the first claim, the latest operator replay or the latest round.
    pub retry_since: Timestamp,
    /// True if the target may have accepted an earlier attempt of this round: the answer was lost, or the
    /// function stopped before it was recorded.
    pub maybe_delivered: bool,
    /// The answers that may be the event's fault or the target's.
    pub answers: AnswerCounts,
    /// The time at which the last work on the event ended.
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
    /// Returns true if the target has accepted nothing of the event, as far as this item says, and no operator
    /// has replayed it.
    #[must_use]
    pub fn is_in_first_round(&self) -> bool {
        self.round == 1 && self.delivered.is_none() && self.retry_since == self.first_seen
    }

    /// The number of the attempt that the interaction and the ledger show in the end.
    #[must_use]
    pub fn reported_attempt(&self) -> u32 {
        self.delivered.unwrap_or(self.attempt)
    }
}

/// The state of an event that is not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownState {
    /// The status; `None` when this version does not know it.
    pub status: Option<Status>,
    /// The attempt that the target accepted.
    pub delivered: Option<u32>,
    /// The failure code.
    pub code: Option<FailureCode>,
    /// The accepted delivery, for comparison with a failure record.
    pub accepted: Accepted,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The event is ours until the lease ends.
    Acquired(Lease),
    /// The event is finished; there is nothing to do.
    AlreadyDone,
    /// The event was given up for this reason and waits for SQS to move it to the parking queue.
    PreviouslyRejected(FailureCode),
    /// Another worker holds it, at the latest until then.
    HeldUntil(Timestamp),
    /// Nobody holds it, and the delay of its new round is not over.
    Delayed {
        /// The number of the round.
        round: u32,
        /// The end of the delay.
        until: Timestamp,
    },
    /// The event was delivered, and the message is a failure record: the caller compares the two.
    Delivered(Accepted),
}

/// How work on an event ends for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Delivered; the code names what is missing all the same, if anything is.
    Completed(Option<FailureCode>),
    /// Given up and archived.
    Archived(FailureCode),
    /// Given up, and nowhere to archive it.
    Failed(FailureCode),
    /// To be tried again by whoever comes next.
    Deferred(FailureCode),
}

/// Why the ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached or does not work. The caller defers; it never goes on without a claim.
    #[error("the ledger is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The event's own item makes no sense: somebody edited it. The caller defers this message and no
    /// other: the ledger works.
    #[error("the ledger item's {0} cannot be read")]
    Unreadable(&'static str),
    /// The lease ended and another worker took the event over, or the write is older than one that has
    /// acted. The caller leaves the event alone.
    #[error("the lease was lost to another worker")]
    LeaseLost,
}

/// Where claims are kept.
///
/// Every write is atomic. All writes after a claim carry its owner as a condition and answer
/// [`LedgerError::LeaseLost`] when the event is no longer held by it. Repeating a write with the same
/// lease changes nothing, so an implementation may retry after a lost answer.
pub trait Ledger: Send + Sync {
    /// Takes an event that is new, was deferred, whose lease has ended, or that may be reopened;
    /// counts one attempt.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; a claim that is refused is no error.
    fn claim(
        &self,
        request: &ClaimRequest<'_>,
    ) -> impl Future<Output = Result<Claim, LedgerError>> + Send;

    /// Counts one more attempt under the same lease, before it starts. A count never goes back: one that
    /// comes late, after a later one, is refused.
    ///
    /// # Errors
    /// As the trait says; the lease is unchanged then.
    fn next_attempt(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Result<Lease, LedgerError>> + Send;

    /// Writes down that the target accepted the current attempt, with the lease's receipt: nobody delivers
    /// the event again.
    ///
    /// # Errors
    /// As the trait says; the event may then be delivered again once the lease has ended.
    fn checkpoint(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LedgerError>> + Send;

    /// Begins a new round of a delivered event, whose target failed later: the event is deferred as not
    /// delivered, and its round is one more than that of `accepted`. The count of attempts stands. Until
    /// `not_before` a claim is answered [`Claim::Delayed`] unless it ignores the delay: another message of
    /// the event must not shorten it.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`] when the item does not have the delivery `accepted` any more; else as the
    /// trait says.
    fn begin_round(
        &self,
        request: &ClaimRequest<'_>,
        accepted: &Accepted,
        not_before: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Writes down the event of a delivery whose failure record would not name it: one without an id of its
    /// own.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    fn index_delivery(
        &self,
        delivery_id: &str,
        key: &EventKey,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Returns the state of an event that another key may have; `None` when it has no item. Changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    fn look_up(
        &self,
        key: &EventKey,
    ) -> impl Future<Output = Result<Option<KnownState>, LedgerError>> + Send;

    /// Returns the event of a delivery that was indexed, `None` for every other one.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    fn find_delivery(
        &self,
        delivery_id: &str,
    ) -> impl Future<Output = Result<Option<EventKey>, LedgerError>> + Send;

    /// Ends the work on an event and gives the lease back. The count of attempts stands, except that of
    /// an event that was delivered: it shows the attempt that was accepted.
    ///
    /// # Errors
    /// As the trait says; the event then stays held until the lease ends.
    fn settle(
        &self,
        lease: &Lease,
        settlement: Settlement,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// How an event stands, as the ledger's item says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Somebody works on it, or has died over it.
    InProgress,
    /// To be tried again.
    Deferred,
    /// Delivered.
    Completed,
    /// Given up and kept in the archive.
    Archived,
    /// Given up, and nowhere to archive it.
    Failed,
    /// An operator decided that the event is not delivered. Final.
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

    /// The value of the attribute.
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

    /// The status with this name, or `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing more happens to the event by itself.
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
