//! What follows a failed attempt: pure arithmetic, no I/O.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::failure::{Certainty, Disposition, FailureCode};
use crate::genesys::{GenesysError, RetryStatus};
use crate::target::DeliveryError;
use crate::telemetry::with_causes;

/// An attempt that failed, as policy sees it.
#[derive(Clone, Debug)]
pub(super) struct AttemptFailure {
    pub(super) upstream: Upstream,
    pub(super) code: FailureCode,
    pub(super) disposition: Disposition,
    pub(super) certainty: Certainty,
    pub(super) reason: String,
}

/// Who failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    Genesys,
    /// Nobody: we hold a call to Genesys Cloud back ourselves.
    OwnPace,
    Target,
    /// No upstream: the invocation ends too soon.
    Deadline,
}

impl AttemptFailure {
    /// An attempt that the end of the invocation stopped. It counts for no circuit and rejects no event.
    pub(super) fn out_of_time(certainty: Certainty, reason: &str) -> Self {
        Self {
            upstream: Upstream::Deadline,
            code: FailureCode::OutOfTime,
            disposition: Disposition::Transient { after: None },
            certainty,
            reason: reason.to_owned(),
        }
    }
}

impl From<GenesysError> for AttemptFailure {
    fn from(error: GenesysError) -> Self {
        Self {
            upstream: match error {
                GenesysError::HeldBack { .. } => Upstream::OwnPace,
                GenesysError::NotFound
                | GenesysError::Refused { .. }
                | GenesysError::RateLimited { .. }
                | GenesysError::Unavailable { .. }
                | GenesysError::Credentials { .. }
                | GenesysError::NoCredentials(_) => Upstream::Genesys,
            },
            code: error.failure_code(),
            disposition: error.disposition(),
            // A mark may be written twice without harm: only the target's certainty matters.
            certainty: Certainty::Refused,
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
            reason: with_causes(&error),
        }
    }
}

/// Where a record stands when an attempt at it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The number of the attempt over all deliveries, from 1.
    pub(super) attempt: u32,
    /// Attempts made in this delivery, from 1.
    pub(super) tries: u32,
    /// Whether SQS's receives are used up.
    pub(super) last_receive: bool,
    /// Whether the upstream that failed may be asked again in this delivery.
    pub(super) may_ask_again: bool,
    /// The longest wait after which another attempt may still start.
    pub(super) time_for_wait: Duration,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Another attempt in this delivery.
    Again { after: Duration },
    /// Another delivery.
    Defer { after: Duration },
    /// No further attempt.
    GiveUp {
        code: FailureCode,
        status: RetryStatus,
    },
}

/// How long to keep trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most attempts at one record inside one delivery.
    pub max_attempts: u32,
    /// A failed attempt at this receive count or later is the last one.
    pub max_receives: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// The longest wait inside the function; anything longer goes through the queue.
    pub max_wait: Duration,
    /// Whether what was malformed the first time is delivered too.
    pub replay_permanent: bool,
    /// Accepted deliveries of one event whose target failed later; after that many it is rejected.
    pub max_rounds: u32,
}

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

    pub(super) const fn is_last(&self, receive_count: u32) -> bool {
        receive_count >= self.limits.max_receives
    }

    pub(super) const fn replays_malformed(&self) -> bool {
        self.limits.replay_permanent
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
    pub(super) fn pause(&self, receive_count: u32, unit: f64) -> Duration {
        self.limits.backoff.delay(receive_count, unit, None)
    }

    /// How long a message stays away after a failure, the upstream's own wish respected.
    pub(super) fn deferral(&self, disposition: Disposition, attempt: u32, unit: f64) -> Duration {
        let wish = match disposition {
            Disposition::Transient { after } => after,
            Disposition::Permanent | Disposition::Operator => None,
        };
        self.limits.backoff.delay(attempt, unit, wish)
    }

    /// What follows a failed attempt; `unit` is a random number from 0 to 1.
    pub(super) fn next_step(
        &self,
        failure: &AttemptFailure,
        situation: &Situation,
        unit: f64,
    ) -> NextStep {
        let exhausted = NextStep::GiveUp {
            code: FailureCode::Exhausted,
            status: RetryStatus::ExhaustedRetries,
        };
        match failure.disposition {
            Disposition::Permanent => NextStep::GiveUp {
                code: failure.code,
                status: RetryStatus::ReplayFailed,
            },
            Disposition::Operator => match failure.upstream {
                Upstream::Target if situation.last_receive => exhausted,
                // Wrong credentials are ours to repair: no event is ever given up for them.
                Upstream::Target | Upstream::Genesys | Upstream::OwnPace | Upstream::Deadline => {
                    NextStep::Defer {
                        after: self.deferral(failure.disposition, situation.attempt, unit),
                    }
                }
            },
            Disposition::Transient { .. } => {
                let after = self.deferral(failure.disposition, situation.attempt, unit);
                let rejects = match failure.upstream {
                    Upstream::Target | Upstream::Genesys => situation.last_receive,
                    Upstream::OwnPace | Upstream::Deadline => false,
                };
                if situation.may_ask_again
                    && failure.upstream != Upstream::Deadline
                    && situation.tries < self.limits.max_attempts
                    && after <= self.limits.max_wait
                    && after <= situation.time_for_wait
                {
                    NextStep::Again { after }
                } else if rejects {
                    exhausted
                } else {
                    NextStep::Defer { after }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::new(Limits {
        max_attempts: 3,
        max_receives: 10,
        backoff: Backoff {
            base: Duration::from_secs(2),
            max: Duration::from_secs(900),
        },
        max_wait: Duration::from_secs(5),
        replay_permanent: false,
        max_rounds: 10,
    });

    const FIRST: Situation = Situation {
        attempt: 1,
        tries: 1,
        last_receive: false,
        may_ask_again: true,
        time_for_wait: Duration::from_secs(20),
    };

    const EXHAUSTED: NextStep = NextStep::GiveUp {
        code: FailureCode::Exhausted,
        status: RetryStatus::ExhaustedRetries,
    };

    fn failure(upstream: Upstream, disposition: Disposition) -> AttemptFailure {
        AttemptFailure {
            upstream,
            code: FailureCode::TargetRefused,
            disposition,
            certainty: Certainty::Refused,
            reason: String::new(),
        }
    }

    fn transient(seconds: Option<u64>) -> AttemptFailure {
        let after = seconds.map(Duration::from_secs);
        failure(Upstream::Target, Disposition::Transient { after })
    }

    const fn again(seconds: u64) -> NextStep {
        NextStep::Again {
            after: Duration::from_secs(seconds),
        }
    }

    const fn defer(seconds: u64) -> NextStep {
        NextStep::Defer {
            after: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_short_wait_is_spent_here_a_long_one_in_the_queue() {
        let step = |failure, situation| POLICY.next_step(&failure, &situation, 1.0);
        assert_eq!(step(transient(None), FIRST), again(2));
        assert_eq!(step(transient(Some(5)), FIRST), again(5));
        assert_eq!(step(transient(Some(6)), FIRST), defer(6));
        assert_eq!(
            step(
                transient(None),
                Situation {
                    attempt: 3,
                    ..FIRST
                }
            ),
            defer(8)
        );
    }

    #[test]
    fn attempts_end_with_their_number_and_with_the_time() {
        let step = |situation| POLICY.next_step(&transient(None), &situation, 1.0);
        assert_eq!(step(Situation { tries: 2, ..FIRST }), again(2));
        assert_eq!(step(Situation { tries: 3, ..FIRST }), defer(2));
        assert_eq!(
            step(Situation {
                may_ask_again: false,
                ..FIRST
            }),
            defer(2)
        );
        assert_eq!(
            step(Situation {
                time_for_wait: Duration::from_secs(1),
                ..FIRST
            }),
            defer(2)
        );
    }

    #[test]
    fn at_the_last_receive_what_would_be_deferred_is_given_up() {
        let last = Situation {
            last_receive: true,
            ..FIRST
        };
        let step = |failure, situation| POLICY.next_step(&failure, &situation, 1.0);
        assert_eq!(step(transient(None), last), again(2));
        assert_eq!(
            step(transient(None), Situation { tries: 3, ..last }),
            EXHAUSTED
        );
        assert_eq!(step(transient(Some(60)), last), EXHAUSTED);
        assert!(POLICY.is_last(10) && POLICY.is_last(11) && !POLICY.is_last(9));
    }

    #[test]
    fn what_was_not_attempted_stays_away_longer_the_more_often_it_came() {
        let pauses = [1, 2, 3, 10].map(|receives| POLICY.pause(receives, 1.0).as_secs());
        assert_eq!(pauses, [2, 4, 8, 900]);
    }

    #[test]
    fn what_we_hold_back_ourselves_is_never_given_up_for_it() {
        let last = Situation {
            last_receive: true,
            ..FIRST
        };
        let after = Some(Duration::from_secs(60));
        let held_back = failure(Upstream::OwnPace, Disposition::Transient { after });
        assert_eq!(POLICY.next_step(&held_back, &last, 1.0), defer(60));
    }

    #[test]
    fn deadline_defers_and_never_rejects_or_retries() {
        let last = Situation {
            last_receive: true,
            ..FIRST
        };
        for certainty in [Certainty::Refused, Certainty::Unknown] {
            let failure = AttemptFailure::out_of_time(certainty, "");
            for situation in [FIRST, last] {
                assert_eq!(POLICY.next_step(&failure, &situation, 1.0), defer(2));
            }
        }
    }

    #[test]
    fn round_delay_grows_by_four_up_to_twelve_hours() {
        let delays = [1, 2, 3, 4, 5, 10, 100].map(|round| POLICY.round_delay(round).as_secs());
        assert_eq!(delays, [300, 1_200, 4_800, 19_200, 43_200, 43_200, 43_200]);
        assert!(POLICY.exceeds_rounds(11) && !POLICY.exceeds_rounds(10));
    }

    #[test]
    fn what_is_permanent_is_given_up_at_once() {
        assert_eq!(
            POLICY.next_step(
                &failure(Upstream::Target, Disposition::Permanent),
                &FIRST,
                1.0
            ),
            NextStep::GiveUp {
                code: FailureCode::TargetRefused,
                status: RetryStatus::ReplayFailed,
            }
        );
    }

    #[test]
    fn our_own_mistakes_are_deferred_and_only_the_targets_end_with_the_receives() {
        let last = Situation {
            last_receive: true,
            ..FIRST
        };
        let step = |upstream, situation| {
            POLICY.next_step(&failure(upstream, Disposition::Operator), &situation, 1.0)
        };
        assert_eq!(step(Upstream::Genesys, FIRST), defer(2));
        assert_eq!(step(Upstream::Target, FIRST), defer(2));
        assert_eq!(step(Upstream::Genesys, last), defer(2));
        assert_eq!(step(Upstream::Target, last), EXHAUSTED);
    }
}
