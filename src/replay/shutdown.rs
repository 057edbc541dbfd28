//! Shutdown: drains batches before the platform ends the process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The time that batches in flight have to finish after the signal. Lambda allows 500 ms before it kills the process.
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

/// The time limit, after the grace period, for releasing events and again for changing visibility timeouts.
pub(super) const SHUTDOWN_CLEANUP_TIME: Duration = Duration::from_millis(75);

/// The shutdown signal for batches, and the count of batches in flight.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Wakes waiting tasks in the order of their calls. A `watch` does not, and a simulated run must repeat exactly.
    requested: CancellationToken,
    /// The end of the grace period; empty before the request.
    grace_end: Arc<OnceLock<Instant>>,
    in_flight: Arc<watch::Sender<u32>>,
}

/// A guard that counts a batch as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<watch::Sender<u32>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|batches| *batches -= 1);
    }
}

impl Shutdown {
    /// Requests the shutdown. From now on no record starts, and running records are released after a short grace
    /// period.
    pub fn trigger(&self) {
        self.grace_end.get_or_init(|| Instant::now() + SHUTDOWN_GRACE);
        self.requested.cancel();
    }

    /// Waits until no batch is in flight.
    pub async fn drained(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // An error is not possible, because `self` keeps the sender alive.
        let _ = in_flight.wait_for(|batches| *batches == 0).await;
    }

    pub(super) fn track(&self) -> InFlight {
        self.in_flight.send_modify(|batches| *batches += 1);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// Returns true after [`trigger`](Self::trigger).
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until the grace period of a requested shutdown has passed.
    pub(super) async fn grace_expired(&self) {
        self.requested.cancelled().await;
        // Always set by now, because `trigger` sets it first.
        if let Some(end) = self.grace_end.get() {
            tokio::time::sleep_until(*end).await;
        }
    }
}
