//! The decision after a failed attempt: pure arithmetic, without I/O.

use std::time::Duration;

use super::decision::Rules;
use super::receive_budget::{PARKING_MARGIN, ReceiveBudget};
use crate::backoff::Backoff;
use crate::error::with_causes;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::genesys::{GenesysError, RetryStatus};
use crate::ledger::AnswerCounts;
use crate::target::DeliveryError;

/// A failed attempt, as input of the policy.
#[derive(Clone, Debug)]
pub(super) struct AttemptFailure {
    pub(super) upstream: Upstream,
    pub(super) code: FailureCode,
    pub(super) disposition: Disposition,
    pub(super) certainty: Certainty,
    /// True if the target did not answer before its timeout.
    pub(super) timed_out: bool,
    pub(super) reason: String,
}

/// The upstream that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    Genesys,
    /// Genesys Cloud, for this interaction only.
    Interaction,
    /// Our own rate limiter, not an upstream.
    LocalRateLimit,
    Target,
    /// The end of the invocation, not an upstream.
    Deadline,
}

impl AttemptFailure {
    /// Returns true if the target did not answer before its timeout or the deadline, or if its gateway lost the
    /// answer.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.upstream, Upstream::Target | Upstream::Deadline)
            && self.certainty == Certainty::Unknown
    }

    /// Returns true if the target's answer means that its address or our permissions are wrong.
    pub(super) fn is_configuration(&self) -> bool {
        self.upstream == Upstream::Target && self.disposition == Disposition::Operator
    }

    /// Returns the failure of an attempt that the end of the invocation stopped. Such a failure does not count for a
    /// circuit, and rejects an event only as an unanswered delivery.
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
            // Only the target's certainty matters, because a repeated mark does no harm.
            certainty: Certainty::Refused,
            timed_out: false,
            reason: error.to_string(),
        }
    }
}

impl From<DeliveryError> for AttemptFailure {
    fn from(error: DeliveryError) -> Self {
        Self {
            upstream: if error.locally_throttled {
                Upstream::LocalRateLimit
            } else {
                Upstream::Target
            },
            code: error.code,
            disposition: error.disposition,
            certainty: error.certainty,
            timed_out: error.timed_out,
            reason: with_causes(&error),
        }
    }
}

/// The context of a failed attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryContext {
    /// The number of the attempt over all deliveries, from 1.
    pub(super) attempt: u32,
    /// The number of attempts in this receive, from 1.
    pub(super) attempts_this_receive: u32,
    /// True if the time of the retries is over, or the receives are used up.
    pub(super) is_last: bool,
    /// The counts, up to this answer, of answers that may be the event's fault or the target's.
    pub(super) answers: AnswerCounts,
    /// True if the target has accepted another event since the last failure of this event.
    pub(super) target_works: bool,
    /// True if the circuit of the failed upstream is not open.
    pub(super) circuit_closed: bool,
    /// The longest delay after which another attempt may still start.
    pub(super) max_delay_before_deadline: Duration,
}

/// The decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// Another attempt in this receive.
    RetryNow { after: Duration },
    /// Another attempt in a later receive.
    Defer { after: Duration },
    /// The end of all attempts.
    Reject { code: FailureCode, status: RetryStatus },
}

/// The limits of the retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of attempts at one record in one receive.
    pub max_attempts: u32,
    /// The time for which an event is retried. An attempt that fails after this time is the last one.
    pub retry_for: Duration,
    /// The receive count at which, or above which, a failed attempt is the last one.
    pub max_receives: u32,
    /// The age above which an event is not delivered; `None` disables this limit.
    pub stale_after: Option<Duration>,
    /// The delays between attempts.
    pub backoff: Backoff,
    /// The longest delay inside the function; longer delays go through the queue.
    pub max_wait: Duration,
    /// True if dead letters whose first delivery failed as malformed are replayed too.
    pub replay_malformed: bool,
    /// The maximum number of accepted deliveries of one event whose target failed later. After these the event is
    /// rejected.
    pub max_rounds: u32,
}

impl Default for Limits {
    /// Returns the defaults of the settings.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            retry_for: Duration::from_secs(72 * 3_600),
            max_receives: 200,
            stale_after: None,
            backoff: Backoff { base: Duration::from_secs(2), max: Duration::from_secs(3_600) },
            max_wait: Duration::from_secs(2),
            replay_malformed: false,
            max_rounds: 10,
        }
    }
}

impl Limits {
    /// Returns the rules of the decision about a message.
    #[must_use]
    pub const fn rules(&self, has_archive: bool) -> Rules {
        Rules {
            replay_malformed: self.replay_malformed,
            stale_after: self.stale_after,
            max_rounds: self.max_rounds,
            has_archive,
        }
    }

    /// Returns the minimum time that the receives last, if each attempt fails and every delay has the least jitter.
    #[must_use]
    pub fn receives_last(&self) -> Duration {
        self.backoff.shortest(self.max_receives)
    }
}

/// The number of configuration answers to one event that make the event the cause, if the target accepts other
/// events.
const CONFIGURATION_ANSWERS: u32 = 3;

/// The number of attempts without an answer that make the event the cause, if the target accepts other events.
const UNANSWERED_ATTEMPTS: u32 = 10;

/// The longest delay before a new round, which is SQS's longest visibility timeout.
const MAX_ROUND_DELAY: Duration = Duration::from_secs(12 * 3_600);

/// The delay before round 1 as a multiple of the backoff's base; each later round multiplies the delay by four.
const ROUND_DELAY_FACTOR: u32 = 150;

/// The retry policy.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    limits: Limits,
}

impl Policy {
    /// Creates a policy with these limits.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Returns the rules of the decision about a message.
    pub(super) const fn rules(&self, has_archive: bool) -> Rules {
        self.limits.rules(has_archive)
    }

    /// Returns true if an attempt that fails now is the last one. `max_receives` is the `maxReceiveCount` of the
    /// message's queue, after which SQS moves the message to the parking queue.
    pub(super) fn is_last(
        &self,
        retried_for: Duration,
        receive_count: u32,
        max_receives: Option<u32>,
    ) -> bool {
        retried_for >= self.limits.retry_for
            || self.receive_budget(receive_count, max_receives).is_used_up()
    }

    /// Returns the receives that are left before an attempt is the last one.
    pub(super) fn receive_budget(
        &self,
        receive_count: u32,
        max_receives: Option<u32>,
    ) -> ReceiveBudget {
        ReceiveBudget::new(receive_count, self.limits.max_receives, max_receives)
    }

    /// Returns the `maxReceiveCount` that is assumed for a queue that cannot be read: the template's.
    pub(super) const fn assumed_max_receives(&self) -> u32 {
        self.limits.max_receives.saturating_add(PARKING_MARGIN)
    }

    /// Returns the delay before a round, counted from 1: `150 · base · 4^(round−1)`, at most 12 h. A target that
    /// fails after acceptance is not down: it needs a repair, which takes longer than a restart.
    pub(super) fn round_delay(&self, round: u32) -> Duration {
        let factor =
            4_u32.saturating_pow(round.saturating_sub(1)).saturating_mul(ROUND_DELAY_FACTOR);
        self.limits.backoff.base.saturating_mul(factor).min(MAX_ROUND_DELAY)
    }

    /// Returns the delay of a message that was not attempted, or whose failure is not the event's fault.
    pub(super) fn delay_by_receive_count(&self, receive_count: u32, unit: f64) -> Duration {
        self.limits.backoff.delay(receive_count, unit, None)
    }

    /// Returns the delay after a failure, at least the upstream's retry-after.
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

    /// Decides the next step after a failed attempt; `unit` is a random number from 0 to 1.
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
            Disposition::Permanent => {
                RetryDecision::Reject { code: failure.code, status: RetryStatus::ReplayFailed }
            }
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
                // Wrong credentials are ours to repair, so they never reject an event.
                Upstream::Target
                | Upstream::Genesys
                | Upstream::Interaction
                | Upstream::LocalRateLimit
                | Upstream::Deadline => RetryDecision::Defer {
                    after: self.delay_after_failure(failure.disposition, situation.attempt, unit),
                },
            },
            Disposition::Transient { .. } => {
                // A slow target may still process the event, so each timeout doubles the delay once more.
                let slow = if failure.timed_out { answers.unanswered } else { 0 };
                let number = situation.attempt.saturating_add(slow);
                let after = self.delay_after_failure(failure.disposition, number, unit);
                let rejects = match failure.upstream {
                    Upstream::Target | Upstream::Genesys | Upstream::Interaction => {
                        situation.is_last
                    }
                    // An unanswered delivery at the deadline means that the target is slower than the invocation.
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
