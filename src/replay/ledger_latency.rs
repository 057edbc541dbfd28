//! The ledger's observed latency, and the time that a delivery leaves for its checkpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The maximum margin. A slower ledger fails by its own time limits, and a longer margin would leave no
/// time to deliver.
const MAX_CHECKPOINT_MARGIN: Duration = Duration::from_secs(2);

/// The recent peak of the ledger's latency in one execution environment.
///
/// A peak counts at once and decays by an eighth with each later call. The average is not used, because
/// the calls of one batch wait for each other.
#[derive(Debug, Default)]
pub struct LedgerLatency {
    peak_micros: AtomicU64,
}

impl LedgerLatency {
    /// Awaits a ledger call and records its latency, whether the call succeeds or fails.
    pub(super) async fn measure<T>(&self, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = call.await;
        self.record(started.elapsed());
        answer
    }

    fn record(&self, latency: Duration) {
        let sample = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let decayed = |peak: u64| Some((peak - peak / 8).max(sample));
        // The closure never returns `None`.
        let _ = self.peak_micros.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decayed);
    }

    /// Returns the time that a checkpoint needs: twice the recent peak, at most 2 s; zero before the first call.
    pub(super) fn checkpoint_margin(&self) -> Duration {
        let peak = Duration::from_micros(self.peak_micros.load(Ordering::Relaxed));
        peak.saturating_mul(2).min(MAX_CHECKPOINT_MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_margin_follows_a_peak_at_once_and_decays_slowly() {
        let latency = LedgerLatency::default();
        assert_eq!(latency.checkpoint_margin(), Duration::ZERO);
        latency.record(Duration::from_millis(5));
        latency.record(Duration::from_millis(400));
        assert_eq!(latency.checkpoint_margin(), Duration::from_millis(800));
        latency.record(Duration::from_millis(5));
        assert_eq!(latency.checkpoint_margin(), Duration::from_millis(700));
        for _ in 0..100 {
            latency.record(Duration::from_millis(5));
        }
        assert_eq!(latency.checkpoint_margin(), Duration::from_millis(10));
    }

    #[test]
    fn checkpoint_margin_leaves_time_to_deliver_when_the_ledger_hangs() {
        let latency = LedgerLatency::default();
        latency.record(Duration::from_secs(6));
        assert_eq!(latency.checkpoint_margin(), MAX_CHECKPOINT_MARGIN);
    }
}
