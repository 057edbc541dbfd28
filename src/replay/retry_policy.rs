//! What follows a failed attempt: pure arithmetic, no I/O.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::Timestamp;
use crate::error::with_causes;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::genesys::{GenesysError, RetryStatus};
use crate::ledger::AnswerCounts;
use crate::target::DeliveryError;

/// An attempt that failed, as policy sees it.
#[derive(Clone, Debug)]
pub(super) struct AttemptFailure {
    pub(super) upstream: Upstream,
    pub(super) code: FailureCode,
    pub(super) disposition: Disposition,
    pub(super) certainty: Certainty,
    /// Whether the target had not answered when its time was over.
    pub(super) timed_out: bool,
    pub(super) reason: String,
}

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    Genesys,
    /// Genesys Cloud, about this interaction alone.
    Interaction,
    /// Nobody: we hold a call to Genesys Cloud back ourselves.
    LocalRateLimit,
    Target,
    /// No upstream: the invocation ends too soon.
    Deadline,
}

impl AttemptFailure {
    /// Returns true if the target did not answer, not even until the deadline, or its gateway lost the answer.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.upstream, Upstream::Target | Upstream::Deadline)
            && self.certainty == Certainty::Unknown
    }

    /// Returns true if the target's answer says that its address or our permissions are wrong.
    pub(super) fn is_configuration(&self) -> bool {
        self.upstream == Upstream::Target && self.disposition == Disposition::Operator
    }

    /// An attempt that the end of the invocation stopped. It counts for no circuit and rejects no event.
    pub(super) fn out_of_time(certainty: Certainty, reason: &str) -> Self {
        Self {
            upstream: Upstream::Deadline,
            code: FailureCode::OutOfTime,
            disposition: Disposition::Transient { after: None },
            certainty,
            timed_out: false,
            reason: reason.to_owned(),
        }
    }
}

impl From<GenesysError> for AttemptFailure {
    fn from(error: GenesysError) -> Self {
        Self {
            upstream: match error {
                GenesysError::LocallyRateLimited { .. } => Upstream::LocalRateLimit,
                GenesysError::Forbidden { .. } => Upstream::Interaction,
                GenesysError::NotFound
                | GenesysError::Refused { .. }
                | GenesysError::Conflict { .. }
                | GenesysError::RateLimited { .. }
                | GenesysError::Unavailable { .. }
                | GenesysError::Credentials { .. }
                | GenesysError::NoCredentials(_) => Upstream::Genesys,
            },
            code: error.failure_code(),
            disposition: error.disposition(),
            // A mark may be written twice without harm: only the target's certainty matters.
            certainty: Certainty::Refused,
            timed_out: false,
            reason: error.to_string(),
        }
    }
}

impl From<DeliveryError> for AttemptFailure {
    fn from(error: DeliveryError) -> Self {
        Self {
            upstream: Upstream::Target,
            code: error.code,
            disposition: error.disposition,
            certainty: error.certainty,
            timed_out: error.timed_out,
            reason: with_causes(&error),
        }
    }
}

/// Where a record stands when an attempt at it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryContext {
    /// The number of the attempt over all deliveries, from 1.
    pub(super) attempt: u32,
    /// Attempts made in this delivery, from 1.
    pub(super) attempts_this_receive: u32,
    /// Whether the time of the retries is over, or SQS's receives are used up.
    pub(super) is_last: bool,
    /// This answer and those before that may be the event's fault or the target's.
    pub(super) answers: AnswerCounts,
    /// Whether the target has accepted another event since this one's last failure.
    pub(super) target_works: bool,
    /// Whether the upstream that failed may be asked again in this delivery.
    pub(super) circuit_closed: bool,
    /// The longest wait after which another attempt may still start.
    pub(super) max_delay_before_deadline: Duration,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// Another attempt in this delivery.
    RetryNow { after: Duration },
    /// Another delivery.
    Defer { after: Duration },
    /// No further attempt.
    Reject {
        code: FailureCode,
        status: RetryStatus,
    },
}

/// How long to keep trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most attempts at one record inside one delivery.
    pub max_attempts: u32,
    /// How long an event is retried: an attempt that fails after this time is the last one.
    pub retry_for: Duration,
    /// A failed attempt at this receive count or later is the last one.
    pub max_receives: u32,
    /// An event that is older is not delivered any more; `None`: events do not grow old.
    pub stale_after: Option<Duration>,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// The longest wait inside the function; anything longer goes through the queue.
    pub max_wait: Duration,
    /// Whether what was malformed the first time is delivered too.
    pub replay_malformed: bool,
    /// Accepted deliveries of one event whose target failed later; after that many it is rejected.
    pub max_rounds: u32,
}

impl Default for Limits {
    /// The defaults of the settings.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            retry_for: Duration::from_secs(72 * 3_600),
            max_receives: 200,
            stale_after: None,
            backoff: Backoff {
                base: Duration::from_secs(2),
                max: Duration::from_secs(3_600),
            },
            max_wait: Duration::from_secs(2),
            replay_malformed: false,
            max_rounds: 10,
        }
    }
}

impl Limits {
    /// The shortest time that the receives last, if each one fails and every wait has the least jitter.
    #[must_use]
    pub fn receives_last(&self) -> Duration {
        self.backoff.shortest(self.max_receives)
    }
}

/// So many receives before SQS moves a message to the parking queue its last attempt is made: some receives go
/// by without one.
const PARKING_MARGIN: u32 = 3;

/// So many configuration answers to one event are the event's fault, if the target accepts others.
const CONFIGURATION_ANSWERS: u32 = 3;

/// The same of attempts without an answer.
const UNANSWERED_ATTEMPTS: u32 = 10;

/// The longest delay before a new round: SQS's longest visibility timeout.
const MAX_ROUND_DELAY: Duration = Duration::from_secs(12 * 3_600);

/// The delay before round 1 of a backoff of one second; each round multiplies it by four.
const ROUND_DELAY_FACTOR: u32 = 150;

/// Decides how long to keep trying.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    limits: Limits,
}

impl Policy {
    /// A policy within these limits.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Returns true if an attempt that fails now is the last one. `max_receives`: those of the message's queue,
    /// after which SQS moves it to the parking queue.
    pub(super) fn is_last(
        &self,
        retried_for: Duration,
        receive_count: u32,
        max_receives: Option<u32>,
    ) -> bool {
        let before_parking = max_receives.map(|most| most.saturating_sub(PARKING_MARGIN).max(1));
        let most = before_parking.map_or(self.limits.max_receives, |most| {
            most.min(self.limits.max_receives)
        });
        retried_for >= self.limits.retry_for || receive_count >= most
    }

    /// Returns true if an event of this time is not worth a delivery any more.
    pub(super) fn is_stale(&self, time: Option<Timestamp>, now: Timestamp) -> bool {
        match (self.limits.stale_after, time) {
            (Some(limit), Some(time)) => time.plus(limit) < now,
            (None, _) | (_, None) => false,
        }
    }

    pub(super) const fn replays_malformed(&self) -> bool {
        self.limits.replay_malformed
    }

    /// Returns true if an event must not be delivered in this round any more.
    pub(super) const fn exceeds_rounds(&self, round: u32) -> bool {
        round > self.limits.max_rounds
    }

    /// The delay before a round, counted from 1: `150 · base · 4^(round−1)`, 12 h at most. A target that fails
    /// after it has accepted is not down: it needs a repair, which takes longer than a restart.
    pub(super) fn round_delay(&self, round: u32) -> Duration {
        let factor = 4_u32
            .saturating_pow(round.saturating_sub(1))
            .saturating_mul(ROUND_DELAY_FACTOR);
        self.limits
            .backoff
            .base
            .saturating_mul(factor)
            .min(MAX_ROUND_DELAY)
    }

    /// How long a message stays away that was not attempted, or whose attempt says nothing of it.
    pub(super) fn delay_by_receive_count(&self, receive_count: u32, unit: f64) -> Duration {
        self.limits.backoff.delay(receive_count, unit, None)
    }

    /// How long a message stays away after a failure, the upstream's own wish respected.
    pub(super) fn delay_after_failure(
        &self,
        disposition: Disposition,
        attempt: u32,
        unit: f64,
    ) -> Duration {
        let wish = match disposition {
            Disposition::Transient { after } => after,
            Disposition::Permanent | Disposition::Operator => None,
        };
        self.limits.backoff.delay(attempt, unit, wish)
    }

    /// What follows a failed attempt; `unit` is a random number from 0 to 1.
    pub(super) fn decide(
        &self,
        failure: &AttemptFailure,
        situation: &RetryContext,
        unit: f64,
    ) -> RetryDecision {
        let exhausted = RetryDecision::Reject {
            code: FailureCode::Exhausted,
            status: RetryStatus::ExhaustedRetries,
        };
        let answers = situation.answers;
        let is_events_fault = |code| {
            let status = RetryStatus::ReplayFailed;
            RetryDecision::Reject { code, status }
        };
        match failure.disposition {
            Disposition::Permanent => RetryDecision::Reject {
                code: failure.code,
                status: RetryStatus::ReplayFailed,
            },
            Disposition::Operator => match failure.upstream {
                Upstream::Target
                    if situation.target_works && answers.configuration >= CONFIGURATION_ANSWERS =>
                {
                    is_events_fault(FailureCode::TargetRefused)
                }
                Upstream::Target if situation.is_last => exhausted,
                Upstream::Interaction if situation.is_last => RetryDecision::Reject {
                    code: failure.code,
                    status: RetryStatus::ExhaustedRetries,
                },
                // Wrong credentials are ours to repair: no event is ever given up for them.
                Upstream::Target
                | Upstream::Genesys
                | Upstream::Interaction
                | Upstream::LocalRateLimit
                | Upstream::Deadline => RetryDecision::Defer {
                    after: self.delay_after_failure(failure.disposition, situation.attempt, unit),
                },
            },
            Disposition::Transient { .. } => {
                // A slow target may still be at work on it: each timeout doubles the wait once more.
                let slow = if failure.timed_out {
                    answers.unanswered
                } else {
                    0
                };
                let number = situation.attempt.saturating_add(slow);
                let after = self.delay_after_failure(failure.disposition, number, unit);
                let rejects = match failure.upstream {
                    Upstream::Target | Upstream::Genesys | Upstream::Interaction => {
                        situation.is_last
                    }
                    // A target that is slower than the invocation.
                    Upstream::Deadline => failure.is_unanswered() && situation.is_last,
                    Upstream::LocalRateLimit => false,
                };
                let is_fault = failure.is_unanswered()
                    && situation.target_works
                    && answers.unanswered >= UNANSWERED_ATTEMPTS;
                if situation.circuit_closed
                    && failure.upstream != Upstream::Deadline
                    && !failure.timed_out
                    && situation.attempts_this_receive < self.limits.max_attempts
                    && after <= self.limits.max_wait
                    && after <= situation.max_delay_before_deadline
                {
                    RetryDecision::RetryNow { after }
                } else if is_fault {
                    is_events_fault(FailureCode::TargetUnavailable)
                } else if rejects {
                    exhausted
                } else {
                    RetryDecision::Defer { after }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
