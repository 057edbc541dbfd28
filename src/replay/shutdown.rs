//! The wish to end, before the platform ends the process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What is in flight has this long to finish; Lambda allows 500 ms before it kills.
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

/// After that, giving events back and telling the queue have this long each.
pub(super) const SHUTDOWN_CLEANUP_TIME: Duration = Duration::from_millis(75);

/// Tells batches that the process is about to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Wakes those who wait in the order in which they came, as a `watch` does not: a simulated story
    /// must be the same when it is told again.
    requested: CancellationToken,
    in_flight: Arc<watch::Sender<u32>>,
}

/// A batch in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<watch::Sender<u32>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|batches| *batches -= 1);
    }
}

impl Shutdown {
    /// From now on nothing starts, and what runs is released after a moment.
    pub fn trigger(&self) {
        self.requested.cancel();
    }

    /// Waits until no batch is in flight.
    pub async fn drained(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // The sender lives as long as this does: no error.
        let _ = in_flight.wait_for(|batches| *batches == 0).await;
    }

    pub(super) fn track(&self) -> InFlight {
        self.in_flight.send_modify(|batches| *batches += 1);
        InFlight(Arc::clone(&self.in_flight))
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until what is in flight has to end.
    pub(super) async fn grace_expired(&self) {
        self.requested.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    }
}
