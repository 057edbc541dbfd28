//! The delay before the next attempt.

use std::time::Duration;

/// Exponential backoff: `min(base · 2^(n-1), max)`, jittered between half and full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first attempt, before jitter.
    pub base: Duration,
    /// The maximum delay, unless the upstream asks for a longer one.
    pub max: Duration,
}

impl Backoff {
    /// Returns the delay after attempt number `attempt` (from 1), never under `retry_after`.
    ///
    /// `unit` is a random number from 0 to 1: 0 returns half of the full delay, 1 the full delay.
    #[must_use]
    pub fn delay(&self, attempt: u32, unit: f64, retry_after: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.max);
        let jittered = full / 2 + (full / 2).mul_f64(unit.clamp(0.0, 1.0));
        jittered.max(retry_after.unwrap_or(Duration::ZERO))
    }

    /// Returns the minimum time between the first and the last of `attempts` attempts: the sum of the
    /// shortest delays.
    #[must_use]
    pub fn shortest(&self, attempts: u32) -> Duration {
        (1..attempts).map(|attempt| self.delay(attempt, 0.0, None)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_secs(2), max: Duration::from_secs(900) };

    #[test]
    fn backoff_doubles_from_the_base_to_the_maximum() {
        let full = |attempt| BACKOFF.delay(attempt, 1.0, None).as_secs();
        assert_eq!(
            (1..=10).map(full).collect::<Vec<_>>(),
            [2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
        );
        assert_eq!(full(u32::MAX), 900);
    }

    #[test]
    fn backoff_attempts_last_for_the_sum_of_shortest_delays() {
        let shortest = |attempts| BACKOFF.shortest(attempts).as_secs();
        assert_eq!([0, 1, 2, 3, 4].map(shortest), [0, 0, 1, 3, 7]);
        assert_eq!(shortest(12), 511 + 450 + 450);
    }

    #[test]
    fn backoff_is_jittered_between_half_and_full() {
        let third = |unit| BACKOFF.delay(3, unit, None);
        assert_eq!(third(0.0), Duration::from_secs(4));
        assert_eq!(third(0.5), Duration::from_secs(6));
        assert_eq!(third(1.0), Duration::from_secs(8));
    }

    #[test]
    fn backoff_is_never_under_retry_after() {
        let hour = Duration::from_secs(3600);
        assert_eq!(BACKOFF.delay(1, 1.0, Some(hour)), hour);
        assert_eq!(BACKOFF.delay(3, 1.0, Some(Duration::from_secs(1))), Duration::from_secs(8));
    }
}
