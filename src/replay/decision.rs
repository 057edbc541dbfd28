//! The decision about a message: pure, and the same for the function and for a prediction of its next step.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::dead_letter::DeadLetter;
use crate::destination::Destination;
use crate::failure::{Accepted, FailureCode};
use crate::ledger::{
    Claim, ClaimTerms, Claimable, ItemState, Lease, LedgerError, ReopenPolicy, Status,
};
use crate::message::Message;
use crate::target::endpoint;

/// The settings that decide about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// True if dead letters whose first delivery failed as malformed are replayed too (`REPLAY_MALFORMED`).
    pub replay_malformed: bool,
    /// The age above which an event is not delivered (`STALE_AFTER_SECONDS`); `None` disables this limit.
    pub stale_after: Option<Duration>,
    /// The maximum number of accepted deliveries of one event whose target failed later (`MAX_ROUNDS`).
    pub max_rounds: u32,
    /// True if rejected dead letters are archived.
    pub has_archive: bool,
}

/// The facts about a dead letter that decide its treatment.
#[derive(Clone, Copy, Debug)]
pub struct MessageFacts<'a> {
    /// The message of the dead letter.
    pub message: &'a Message,
    /// The dead letter.
    pub dead_letter: &'a DeadLetter<'a>,
    /// The destination of the event.
    pub destination: &'a Destination,
    /// The time of the decision.
    pub now: Timestamp,
}

impl MessageFacts<'_> {
    /// Returns true if an operator sent the message.
    fn is_operator_replay(&self) -> bool {
        self.message.replay_plan().is_some()
    }
}

/// The treatment of an event after the answer to its claim; `L` is the lease or, for a prediction, the item's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision<L> {
    /// The event is claimed.
    Handle(L, Handling),
    /// The target failed after it had accepted the event: another round begins, or the event is rejected.
    BeginRound(NewRound),
    /// The message is a failure record of an earlier delivery than the current one.
    EarlierDelivery,
    /// The event is finished.
    Duplicate,
    /// The event was rejected without an archive.
    Return(FailureCode),
    /// The delay of the round is not over.
    Delayed { round: u32, until: Timestamp },
    /// Another worker holds the event.
    Held { until: Timestamp },
    /// The item has changed since it was read.
    Changed,
}

/// The state of a redirected event at its old target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTarget {
    /// The event is finished there.
    Has,
    /// The old target accepted the event, and the bookkeeping is not finished.
    Unfinished,
    /// Another worker delivers the event to the old target.
    Held {
        /// The end of its lease.
        until: Timestamp,
    },
}

/// A round that follows an accepted delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewRound {
    pub(super) accepted: Accepted,
    /// The number of the new round, from 1.
    pub(super) round: u32,
    /// True if the event is rejected instead of delivered once more.
    pub(super) is_rejected: bool,
}

/// The handling of a claimed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handling {
    /// The event only reports our own mark, and is archived.
    ArchiveOwnEcho,
    /// The target accepted the event in an earlier receive, and only the bookkeeping is left.
    Complete,
    /// The target accepted the event and failed later in each of the allowed rounds.
    RejectAfterRounds,
    /// The event is too old.
    RejectStale,
    /// The event is delivered.
    Deliver,
}

/// A claimed event as far as it decides its handling.
pub(super) trait Claimed {
    fn is_delivered(&self) -> bool;
    fn round(&self) -> u32;
}

impl Claimed for Lease {
    fn is_delivered(&self) -> bool {
        self.delivered.is_some()
    }

    fn round(&self) -> u32 {
        self.round
    }
}

impl Claimed for Claimable {
    fn is_delivered(&self) -> bool {
        self.is_delivered
    }

    fn round(&self) -> u32 {
        self.round
    }
}

impl Rules {
    /// Returns the failure code of a dead letter that is archived without a claim.
    pub(super) fn archived_unclaimed(&self, facts: &MessageFacts<'_>) -> Option<FailureCode> {
        let is_malformed = facts.dead_letter.failure.category().is_malformed();
        let is_wanted = self.replay_malformed || facts.is_operator_replay();
        (is_malformed && !is_wanted).then_some(FailureCode::PayloadMalformed)
    }

    /// Returns the terms of the event's claim.
    pub(super) fn claim_terms(&self, facts: &MessageFacts<'_>) -> ClaimTerms {
        let is_operator_replay = facts.is_operator_replay();
        ClaimTerms {
            now: facts.now,
            reopen: match (is_operator_replay, self.has_archive) {
                (true, _) => ReopenPolicy::FailedAndArchived,
                (false, true) => ReopenPolicy::Failed,
                (false, false) => ReopenPolicy::Never,
            },
            is_failure_record: facts.dead_letter.report.is_some(),
            ignores_delay: is_operator_replay,
        }
    }

    /// Decides the treatment of an event after the answer to its claim.
    pub(super) fn decide<L: Claimed>(
        &self,
        facts: &MessageFacts<'_>,
        claim: Claim<L>,
    ) -> Decision<L> {
        match claim {
            Claim::Acquired(lease) => {
                let handling = self.handling(facts, &lease);
                Decision::Handle(lease, handling)
            }
            Claim::AlreadyDone => Decision::Duplicate,
            Claim::PreviouslyRejected(code) => Decision::Return(code),
            Claim::HeldUntil(until) => Decision::Held { until },
            Claim::Delayed { round, until } => Decision::Delayed { round, until },
            Claim::Delivered(accepted) => {
                let Some(report) = &facts.dead_letter.report else {
                    return Decision::Changed;
                };
                if report.is_about(&accepted, facts.destination, facts.message.id.as_str()) {
                    let round = accepted.round.saturating_add(1);
                    Decision::BeginRound(NewRound {
                        accepted,
                        round,
                        is_rejected: self.exceeds_rounds(round),
                    })
                } else {
                    Decision::EarlierDelivery
                }
            }
        }
    }

    /// Decides about an event that is redirected to another target. `facts` are those for the old target, and `item` is
    /// the event's ledger item there. Returns `None` if the event is to be delivered to the new target.
    ///
    /// # Errors
    /// [`LedgerError::Unreadable`].
    pub fn at_old_target(
        &self,
        facts: &MessageFacts<'_>,
        item: &ItemState,
    ) -> Result<Option<OldTarget>, LedgerError> {
        Ok(match item.answer(&self.claim_terms(facts))? {
            Claim::AlreadyDone => Some(OldTarget::Has),
            Claim::HeldUntil(until) => Some(OldTarget::Held { until }),
            Claim::Acquired(claimable) if claimable.is_delivered => Some(OldTarget::Unfinished),
            // Unless the old target reports that it failed after the acceptance, it has the event.
            Claim::Delivered(accepted) => {
                let report = facts.dead_letter.report.as_ref();
                let is_of_delivery = report.is_some_and(|report| {
                    report.is_about(&accepted, facts.destination, facts.message.id.as_str())
                });
                (!is_of_delivery).then_some(match item.known.status {
                    Some(Status::Completed | Status::Discarded) => OldTarget::Has,
                    Some(
                        Status::InProgress | Status::Deferred | Status::Archived | Status::Failed,
                    )
                    | None => OldTarget::Unfinished,
                })
            }
            // Not delivered, or rejected: the redirect is the repair.
            Claim::Acquired(_) | Claim::PreviouslyRejected(_) | Claim::Delayed { .. } => None,
        })
    }

    fn handling(&self, facts: &MessageFacts<'_>, claimed: &impl Claimed) -> Handling {
        if facts.dead_letter.own_echo {
            Handling::ArchiveOwnEcho
        } else if claimed.is_delivered() {
            Handling::Complete
        } else if self.exceeds_rounds(claimed.round()) {
            Handling::RejectAfterRounds
        } else if self.is_stale(facts) && !facts.is_operator_replay() {
            Handling::RejectStale
        } else {
            Handling::Deliver
        }
    }

    const fn exceeds_rounds(&self, round: u32) -> bool {
        round > self.max_rounds
    }

    fn is_stale(&self, facts: &MessageFacts<'_>) -> bool {
        match (self.stale_after, facts.dead_letter.time) {
            (Some(limit), Some(time)) => time.plus(limit) < facts.now,
            (None, _) | (_, None) => false,
        }
    }

    /// Predicts the function's next step with a dead letter; `item` is the event's ledger item, if there is one.
    #[must_use]
    pub fn predict(&self, facts: &MessageFacts<'_>, item: Option<&ItemState>) -> Prediction {
        if let Some(code) = self.archived_unclaimed(facts) {
            return Prediction::archive(code);
        }
        let claim = match item {
            None => Ok(Claim::Acquired(Claimable::NEW)),
            Some(item) => item.answer(&self.claim_terms(facts)),
        };
        let Ok(claim) = claim else {
            return Prediction::new(NextStep::Wait, Some(FailureCode::LedgerUnavailable));
        };
        let deliver = || match endpoint(facts.destination) {
            Ok(_) => Prediction::new(NextStep::Replay, None),
            Err(error) => Prediction::archive(error.code),
        };
        let rounds_code = FailureCode::FailedAfterAcceptance;
        match self.decide(facts, claim) {
            Decision::Handle(_, handling) => match handling {
                Handling::ArchiveOwnEcho => Prediction::archive(FailureCode::OwnEcho),
                Handling::Complete => Prediction::new(NextStep::Acknowledge, None),
                Handling::RejectAfterRounds => Prediction::archive(rounds_code),
                Handling::RejectStale => Prediction::archive(FailureCode::Stale),
                Handling::Deliver => deliver(),
            },
            Decision::BeginRound(round) if round.is_rejected => Prediction::archive(rounds_code),
            Decision::BeginRound(_) => Prediction::new(deliver().step, Some(rounds_code)),
            Decision::EarlierDelivery | Decision::Duplicate => {
                Prediction::new(NextStep::Acknowledge, None)
            }
            Decision::Return(code) => Prediction::new(NextStep::Return, Some(code)),
            Decision::Delayed { .. } => Prediction::new(NextStep::Wait, Some(rounds_code)),
            Decision::Held { .. } | Decision::Changed => Prediction::new(NextStep::Wait, None),
        }
    }
}

/// The function's next step with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextStep {
    /// The function delivers the event again.
    Replay,
    /// The function archives the message. Without an archive, the function lets SQS move the message to the parking
    /// queue.
    Archive,
    /// The function removes the message from the queue, because the event is finished.
    Acknowledge,
    /// The function defers the message: another worker holds the event, or the delay of a round is not over.
    Wait,
    /// The function returns the message until SQS moves it to the parking queue, because the event was rejected.
    Return,
}

impl NextStep {
    /// Returns the step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "REPLAY",
            Self::Archive => "ARCHIVE",
            Self::Acknowledge => "ACKNOWLEDGE",
            Self::Wait => "WAIT",
            Self::Return => "RETURN",
        }
    }
}

/// The predicted next step of the function, and its failure code if it is known before an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The next step.
    pub step: NextStep,
    /// The failure code.
    pub code: Option<FailureCode>,
}

impl Prediction {
    /// Creates a prediction.
    #[must_use]
    pub const fn new(step: NextStep, code: Option<FailureCode>) -> Self {
        Self { step, code }
    }

    /// Returns the prediction of an archived message.
    #[must_use]
    pub const fn archive(code: FailureCode) -> Self {
        Self::new(NextStep::Archive, Some(code))
    }
}

#[cfg(test)]
mod tests;
