//! The answer to a claim, as it follows from the event's item.

use super::{Claim, KnownState, LedgerError, ReopenPolicy, Status};
use crate::clock::Timestamp;
use crate::failure::FailureCode;

/// An event's item, as far as it decides the answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemState {
    /// The status, the delivery and the failure code.
    pub known: KnownState,
    /// The end of the lease.
    pub lease_until: Option<Timestamp>,
    /// The end of the delay before a new round.
    pub not_before: Option<Timestamp>,
}

/// The terms of a claim that decide its answer.
#[derive(Clone, Copy, Debug)]
pub struct ClaimTerms {
    /// The time of the claim.
    pub now: Timestamp,
    /// The finished events that the claim may reopen.
    pub reopen: ReopenPolicy,
    /// True if the message is a failure record.
    pub is_failure_record: bool,
    /// True if the claim may start a new round before its delay is over.
    pub ignores_delay: bool,
}

/// The content of an item that a claim would acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// True if only the bookkeeping of an accepted delivery is left.
    pub is_delivered: bool,
    /// The number of the round, from 1.
    pub round: u32,
}

impl Claimable {
    /// The content of an item that does not exist yet.
    pub const NEW: Self = Self { is_delivered: false, round: 1 };
}

impl ItemState {
    /// Returns the answer to a claim of this item.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`].
    pub fn answer(&self, terms: &ClaimTerms) -> Result<Claim<Claimable>, LedgerError> {
        let status = self.known.status.ok_or(LedgerError::Unreadable("Status"))?;
        let is_delivered = self.known.delivered.is_some();
        let held_until = match status {
            Status::InProgress => {
                let until = self.lease_until.ok_or(LedgerError::Unreadable("LeaseUntil"))?;
                (until >= terms.now).then_some(until)
            }
            Status::Deferred
            | Status::Completed
            | Status::Archived
            | Status::Failed
            | Status::Discarded => None,
        };
        let is_open = match status {
            Status::Completed => true,
            Status::Deferred | Status::InProgress => is_delivered && held_until.is_none(),
            Status::Archived | Status::Failed | Status::Discarded => false,
        };
        if terms.is_failure_record && is_open {
            return Ok(Claim::Delivered(self.known.accepted.clone()));
        }
        let acquired =
            Claim::Acquired(Claimable { is_delivered, round: self.known.accepted.round });
        // An operator replay counts its rounds anew.
        let reopened = Claim::Acquired(Claimable { is_delivered, ..Claimable::NEW });
        Ok(match (status, terms.reopen) {
            (Status::Archived | Status::Failed, ReopenPolicy::FailedAndArchived) => reopened,
            (Status::Completed | Status::Discarded | Status::Archived, _) => Claim::AlreadyDone,
            (Status::Failed, ReopenPolicy::Failed) => acquired,
            (Status::Failed, ReopenPolicy::Never) => {
                Claim::PreviouslyRejected(self.known.code.unwrap_or(FailureCode::Internal))
            }
            (Status::InProgress, _) => held_until.map_or(acquired, Claim::HeldUntil),
            (Status::Deferred, _) => match self.not_before {
                Some(until) if until > terms.now && !terms.ignores_delay => {
                    Claim::Delayed { round: self.known.accepted.round, until }
                }
                Some(_) | None => acquired,
            },
        })
    }
}

impl<L> Claim<L> {
    /// Replaces the answer of an acquired claim, and keeps every other answer.
    pub fn and_then<M>(self, acquired: impl FnOnce(L) -> Claim<M>) -> Claim<M> {
        match self {
            Self::Acquired(lease) => acquired(lease),
            Self::AlreadyDone => Claim::AlreadyDone,
            Self::PreviouslyRejected(code) => Claim::PreviouslyRejected(code),
            Self::HeldUntil(until) => Claim::HeldUntil(until),
            Self::Delayed { round, until } => Claim::Delayed { round, until },
            Self::Delivered(accepted) => Claim::Delivered(accepted),
        }
    }
}
