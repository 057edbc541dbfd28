//! What a batch costs upstream: counted where it happens, read once a batch.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one execution environment. It handles one batch at a time, so what was counted
/// between two readings belongs to the batch between them.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    genesys_calls: AtomicU64,
    genesys_throttled: AtomicU64,
    genesys_held_back: AtomicU64,
    token_fetches: AtomicU64,
    tokens_throttled: AtomicU64,
    breakers_opened: AtomicU64,
}

/// What was counted since the reading before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// Requests sent to Genesys Cloud, those for tokens included.
    pub genesys_calls: u64,
    /// Those of them that a rate limit refused.
    pub genesys_throttled: u64,
    /// Requests that were not sent, to stay within the rate limit.
    pub genesys_held_back: u64,
    /// Requests for a token.
    pub token_fetches: u64,
    /// Those of them that the token endpoint's rate limit refused.
    pub tokens_throttled: u64,
    /// How often an upstream was found to fail again and again.
    pub breakers_opened: u64,
}

impl UpstreamCounters {
    /// A request of the API is sent.
    pub fn genesys_called(&self) {
        count(&self.genesys_calls);
    }

    /// A rate limit refused a request of the API.
    pub fn genesys_throttled(&self) {
        count(&self.genesys_throttled);
    }

    /// A request of the API is not sent, to stay within the rate limit.
    pub fn genesys_held_back(&self) {
        count(&self.genesys_held_back);
    }

    /// A request for a token is sent.
    pub fn token_requested(&self) {
        count(&self.genesys_calls);
        count(&self.token_fetches);
    }

    /// The token endpoint's rate limit refused a request.
    pub fn token_throttled(&self) {
        count(&self.genesys_throttled);
        count(&self.tokens_throttled);
    }

    /// An upstream is left alone from now on.
    pub fn breaker_opened(&self) {
        count(&self.breakers_opened);
    }

    /// Reads the counters and sets them back.
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
    fn each_count_is_read_once_under_its_own_name() {
        let meter = UpstreamCounters::default();
        meter.genesys_called();
        meter.genesys_throttled();
        meter.genesys_held_back();
        meter.token_requested();
        meter.token_throttled();
        meter.breaker_opened();
        let usage = CounterSnapshot {
            genesys_calls: 2,
            genesys_throttled: 2,
            genesys_held_back: 1,
            token_fetches: 1,
            tokens_throttled: 1,
            breakers_opened: 1,
        };
        assert_eq!(meter.take(), usage);
        assert_eq!(meter.take(), CounterSnapshot::default());
    }
}
