//! The wish to end, before the platform ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// What is in flight has this long to finish; Lambda allows 500 ms before it kills.
pub(super) const GRACE: Duration = Duration::from_millis(200);

/// After that, giving events back and telling the queue have this long each.
pub(super) const LAST_MOMENT: Duration = Duration::from_millis(75);

/// Tells batches that the process is about to end.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: Arc<Request>,
    in_flight: Arc<watch::Sender<u32>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            requested: Arc::default(),
            in_flight: Arc::new(watch::Sender::new(0)),
        }
    }
}

/// Wakes those who wait in the order in which they came, as a `watch` does not: a simulated story
/// must be the same when it is told again.
#[derive(Debug, Default)]
struct Request {
    made: AtomicBool,
    waiting: Notify,
}

/// A batch in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<watch::Sender<u32>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|batches| *batches -= 1);
    }
}

impl Stop {
    /// From now on nothing starts, and what runs is released after a moment.
    pub fn request(&self) {
        self.requested.made.store(true, Ordering::SeqCst);
        self.requested.waiting.notify_waiters();
    }

    /// Waits until no batch is in flight.
    pub async fn idle(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // The sender lives as long as this does: no error.
        let _ = in_flight.wait_for(|batches| *batches == 0).await;
    }

    pub(super) fn enter(&self) -> InFlight {
        self.in_flight.send_modify(|batches| *batches += 1);
        InFlight(Arc::clone(&self.in_flight))
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.made.load(Ordering::SeqCst)
    }

    /// Waits until what is in flight has to end.
    pub(super) async fn out_of_grace(&self) {
        // Made before it is looked: what is requested in between is not missed.
        let request = self.requested.waiting.notified();
        if !self.is_requested() {
            request.await;
        }
        tokio::time::sleep(GRACE).await;
    }
}
