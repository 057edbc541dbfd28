//! Virtual time, random numbers, and the latencies of the services.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_fakes::{FaultHookFuture, Faults};
use genesys_replay::clock::{Clock, Random, Timestamp};
use tokio::time::{Instant, sleep};

/// The time at which every run begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// The latency of one call to the ledger, the archive or the queue.
pub(crate) const AWS_LATENCY: Duration = Duration::from_millis(10);

/// The latency of one call to Genesys Cloud or to the target.
pub(crate) const UPSTREAM_LATENCY: Duration = Duration::from_millis(100);

/// A clock on tokio's paused time.
pub(crate) struct VirtualClock(Instant);

impl VirtualClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        BEGIN.plus(self.0.elapsed())
    }
}

/// Random numbers that are the same in each run.
pub(crate) struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SeededRandom {
    fn unit(&self) -> f64 {
        lock(&self.0).f64()
    }
}

/// The latency of calls to AWS.
pub(crate) struct Latency;

impl<E: Send + 'static> Faults<E> for Latency {
    fn before(&self, _: &'static str) -> FaultHookFuture<'_, E> {
        Box::pin(async {
            sleep(AWS_LATENCY).await;
            Ok(())
        })
    }
}

/// Locks a state. A panic under the lock has already failed the run.
pub(crate) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
