//! The upstream cost of a batch, counted at each call and read once per batch.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one execution environment. An environment handles one batch at a time, so the counts between
/// two readings belong to the batch between them.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    genesys_calls: AtomicU64,
    genesys_throttled: AtomicU64,
    genesys_held_back: AtomicU64,
    token_fetches: AtomicU64,
    tokens_throttled: AtomicU64,
    breakers_opened: AtomicU64,
    in_flight_near_limit: AtomicU64,
}

/// The counts since the previous reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// Requests sent to Genesys Cloud, including token requests.
    pub genesys_calls: u64,
    /// Requests to Genesys Cloud that a rate limit refused.
    pub genesys_throttled: u64,
    /// Requests that were locally throttled, to stay within the rate limit.
    pub genesys_held_back: u64,
    /// Token requests.
    pub token_fetches: u64,
    /// Token requests that the token endpoint's rate limit refused.
    pub tokens_throttled: u64,
    /// The number of times a circuit breaker opened.
    pub breakers_opened: u64,
    /// The number of readings with nearly as many messages in flight as SQS allows.
    pub in_flight_near_limit: u64,
}

impl UpstreamCounters {
    /// Counts an API request that is sent.
    pub fn genesys_called(&self) {
        count(&self.genesys_calls);
    }

    /// Counts an API request that a rate limit refused.
    pub fn genesys_throttled(&self) {
        count(&self.genesys_throttled);
    }

    /// Counts an API request that was locally throttled.
    pub fn genesys_held_back(&self) {
        count(&self.genesys_held_back);
    }

    /// Counts a token request that is sent.
    pub fn token_requested(&self) {
        count(&self.genesys_calls);
        count(&self.token_fetches);
    }

    /// Counts a token request that the token endpoint's rate limit refused.
    pub fn token_throttled(&self) {
        count(&self.genesys_throttled);
        count(&self.tokens_throttled);
    }

    /// Counts a circuit breaker that opened.
    pub fn breaker_opened(&self) {
        count(&self.breakers_opened);
    }

    /// Counts a reading with nearly as many messages in flight as SQS allows.
    pub fn in_flight_near_limit(&self) {
        count(&self.in_flight_near_limit);
    }

    /// Reads the counters and resets them to zero.
    #[must_use]
    pub fn take(&self) -> CounterSnapshot {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        CounterSnapshot {
            genesys_calls: take(&self.genesys_calls),
            genesys_throttled: take(&self.genesys_throttled),
            genesys_held_back: take(&self.genesys_held_back),
            token_fetches: take(&self.token_fetches),
            tokens_throttled: take(&self.tokens_throttled),
            breakers_opened: take(&self.breakers_opened),
            in_flight_near_limit: take(&self.in_flight_near_limit),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meter_counts_are_read_once_by_name() {
        let meter = UpstreamCounters::default();
        meter.genesys_called();
        meter.genesys_throttled();
        meter.genesys_held_back();
        meter.token_requested();
        meter.token_throttled();
        meter.breaker_opened();
        meter.in_flight_near_limit();
        let usage = CounterSnapshot {
            genesys_calls: 2,
            genesys_throttled: 2,
            genesys_held_back: 1,
            token_fetches: 1,
            tokens_throttled: 1,
            breakers_opened: 1,
            in_flight_near_limit: 1,
        };
        assert_eq!(meter.take(), usage);
        assert_eq!(meter.take(), CounterSnapshot::default());
    }
}
