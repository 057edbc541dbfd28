//! The rate limiter for calls to Genesys Cloud. It slows down before the limit is reached.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::clock::Timestamp;
use genesys_replay::retry_after::MAX_RETRY_AFTER;
use reqwest::header::HeaderMap;

/// The part of the limit up to which replays begin without a delay, in percent. Then they are spread over the rest of the
/// window, because the replays that have begun in several environments need many of the calls that are left.
const UNDELAYED_PERCENT: u64 = 50;

/// The part of the limit that is kept for replays that have begun, also in other environments, in percent.
const KEPT_PERCENT: u64 = 5;

/// Genesys Cloud's usual limit per token, until an answer names another one.
const USUAL_CALLS_PER_MINUTE: u64 = 300;

/// The rate limiter of an execution environment. All records of all batches share one token, and the limit is
/// per token.
#[derive(Debug, Default)]
pub struct RateLimiter(Mutex<RateLimits>);

#[derive(Clone, Copy, Debug)]
struct RateLimits {
    /// The earliest time of any call: the limit was reached.
    blocked_until: Timestamp,
    /// The earliest time of the next reserved call.
    free_at: Timestamp,
    /// The minimum time between two reserved calls.
    interval: Duration,
    /// The number of calls that may be reserved.
    free_calls: u64,
    /// The end of the limit's window. `interval` and `free_calls` end with the window.
    window_ends: Timestamp,
    /// The number of calls allowed in a window.
    allowed: u64,
}

impl Default for RateLimits {
    fn default() -> Self {
        let past = Timestamp::from_millis(0);
        Self {
            blocked_until: past,
            free_at: past,
            interval: Duration::ZERO,
            free_calls: 0,
            window_ends: past,
            allowed: USUAL_CALLS_PER_MINUTE,
        }
    }
}

/// The rate-limit headers of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitHeaders {
    /// The number of calls in this window.
    count: u64,
    /// The number of calls allowed in a window.
    allowed: u64,
    /// The time from now until the end of the window.
    reset: Duration,
}

impl RateLimitHeaders {
    /// Creates the headers: the calls so far and allowed in this window, and the time until its end.
    #[must_use]
    pub const fn new(count: u64, allowed: u64, reset: Duration) -> Self {
        Self { count, allowed, reset }
    }

    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let number = |name| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        Some(Self {
            count: number("inin-ratelimit-count")?,
            allowed: number("inin-ratelimit-allowed")?,
            reset: Duration::from_secs(number("inin-ratelimit-reset")?).min(MAX_RETRY_AFTER),
        })
    }
}

impl RateLimiter {
    fn state(&self) -> MutexGuard<'_, RateLimits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a number of calls and returns the delay of the first one.
    ///
    /// # Errors
    /// The delay, if it is longer than `max_wait`; nothing is then reserved.
    pub fn reserve(
        &self,
        calls: u32,
        now: Timestamp,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        let mut state = self.state();
        let is_known = now < state.window_ends;
        let is_used_up = is_known && state.free_calls < calls.into();
        let free_at = if is_used_up { state.window_ends } else { state.free_at };
        let start = now.max(free_at).max(state.blocked_until);
        let wait = start.since(now);
        if wait > max_wait {
            return Err(wait);
        }
        if is_known {
            state.free_calls = state.free_calls.saturating_sub(calls.into());
            let next = start.plus(state.interval.saturating_mul(calls));
            state.free_at = next.min(state.window_ends);
        }
        Ok(wait)
    }

    /// Returns the delay of a call of a replay that has begun. It waits only if the limit was reached.
    ///
    /// # Errors
    /// The delay, if it is longer than `max_wait`.
    pub fn delay_of_reserved(
        &self,
        now: Timestamp,
        max_wait: Duration,
    ) -> Result<Duration, Duration> {
        let wait = self.state().blocked_until.since(now);
        if wait > max_wait { Err(wait) } else { Ok(wait) }
    }

    /// Returns the number of calls allowed in a window, which is a minute.
    pub fn calls_per_minute(&self) -> u32 {
        u32::try_from(self.state().allowed).unwrap_or(u32::MAX)
    }

    /// Updates the limiter from an answer that arrived at `now`: its counts, and its delay if the limit was
    /// reached.
    pub fn observe(
        &self,
        reading: Option<RateLimitHeaders>,
        throttled_for: Option<Duration>,
        now: Timestamp,
    ) {
        if let Some(reading) = reading {
            self.observe_counts(reading, now);
        }
        if let Some(after) = throttled_for {
            self.throttled(after, now);
        }
    }

    /// Updates the limiter from the counts of an answer.
    fn observe_counts(&self, reading: RateLimitHeaders, now: Timestamp) {
        let mut state = self.state();
        state.window_ends = now.plus(reading.reset);
        state.allowed = reading.allowed;
        let left = reading.allowed.saturating_sub(reading.count);
        state.free_calls = left.saturating_sub(reading.allowed.saturating_mul(KEPT_PERCENT) / 100);
        if left == 0 {
            state.blocked_until = state.blocked_until.max(state.window_ends);
        }
        let is_undelayed =
            reading.count.saturating_mul(100) < reading.allowed.saturating_mul(UNDELAYED_PERCENT);
        state.interval = match u32::try_from(state.free_calls) {
            Ok(free_calls) if !is_undelayed && free_calls > 0 => reading.reset / free_calls,
            Ok(_) | Err(_) => Duration::ZERO,
        };
    }

    /// Updates the limiter after the limit was reached.
    fn throttled(&self, after: Duration, now: Timestamp) {
        let mut state = self.state();
        state.blocked_until = state.blocked_until.max(now.plus(after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_785_000_000_000);
    const MAX_WAIT: Duration = Duration::from_secs(2);

    fn observed(count: u64, reset: u64) -> RateLimiter {
        let limiter = RateLimiter::default();
        let reading = RateLimitHeaders { count, allowed: 300, reset: Duration::from_secs(reset) };
        limiter.observe_counts(reading, START);
        limiter
    }

    fn waits(limiter: &RateLimiter, now: Timestamp) -> [Result<u64, u64>; 3] {
        std::array::from_fn(|_| {
            let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(0);
            limiter.reserve(1, now, MAX_WAIT).map(millis).map_err(millis)
        })
    }

    #[test]
    fn rate_limiter_adds_no_delay_far_from_the_limit() {
        assert_eq!(waits(&RateLimiter::default(), START), [Ok(0), Ok(0), Ok(0)]);
        assert_eq!(waits(&observed(149, 30), START), [Ok(0), Ok(0), Ok(0)]);
    }

    #[test]
    fn rate_limiter_spreads_calls_from_half_of_the_limit_on() {
        assert_eq!(waits(&observed(240, 45), START), [Ok(0), Ok(1_000), Ok(2_000)]);
        assert_eq!(waits(&observed(282, 3), START), [Ok(0), Ok(1_000), Ok(2_000)]);
        assert_eq!(waits(&observed(284, 10), START), [Ok(0), Err(10_000), Err(10_000)]);
    }

    #[test]
    fn rate_limiter_reserves_the_calls_of_a_replay_together() {
        let limiter = observed(240, 45);
        let reserve = || limiter.reserve(3, START, MAX_WAIT);
        assert_eq!([reserve(), reserve()], [Ok(Duration::ZERO), Err(Duration::from_secs(3))]);
        assert_eq!(limiter.delay_of_reserved(START, MAX_WAIT), Ok(Duration::ZERO));
        let too_few = observed(283, 10);
        assert_eq!(too_few.reserve(3, START, MAX_WAIT), Err(Duration::from_secs(10)));
    }

    #[test]
    fn rate_limiter_does_not_block_beyond_the_window() {
        let limiter = observed(282, 45);
        assert_eq!(limiter.reserve(3, START, MAX_WAIT), Ok(Duration::ZERO));
        let next_window = START.plus(Duration::from_secs(45));
        assert_eq!(limiter.reserve(3, next_window, MAX_WAIT), Ok(Duration::ZERO));
    }

    #[test]
    fn last_calls_of_a_window_are_for_replays_that_have_begun() {
        let limiter = observed(285, 10);
        assert_eq!(waits(&limiter, START), [Err(10_000); 3]);
        assert_eq!(limiter.delay_of_reserved(START, MAX_WAIT), Ok(Duration::ZERO));
        let used_up = observed(300, 10);
        let wait = used_up.delay_of_reserved(START, MAX_WAIT);
        assert_eq!(wait, Err(Duration::from_secs(10)));
        assert_eq!(used_up.calls_per_minute(), 300);
    }

    #[test]
    fn rate_limiter_waits_for_the_next_window_at_the_limit() {
        let limiter = observed(300, 10);
        assert_eq!(waits(&limiter, START), [Err(10_000); 3]);
        assert_eq!(waits(&limiter, START.plus(Duration::from_secs(10))), [Ok(0); 3]);
    }

    #[test]
    fn rate_limiter_delays_all_calls_after_a_429() {
        let limiter = RateLimiter::default();
        limiter.throttled(Duration::from_secs(42), START);
        assert_eq!(waits(&limiter, START), [Err(42_000); 3]);
        limiter.throttled(Duration::from_secs(1), START);
        assert_eq!(waits(&limiter, START), [Err(42_000); 3], "the longer wait counts");
    }

    #[test]
    fn rate_limit_headers_are_ignored_when_invalid() {
        let mut headers = HeaderMap::new();
        assert_eq!(RateLimitHeaders::of(&headers), None);
        for (name, value) in [
            ("inin-ratelimit-count", "7"),
            ("inin-ratelimit-allowed", "300"),
            ("inin-ratelimit-reset", "soon"),
        ] {
            headers.insert(name, reqwest::header::HeaderValue::from_static(value));
        }
        assert_eq!(RateLimitHeaders::of(&headers), None);
    }
}
