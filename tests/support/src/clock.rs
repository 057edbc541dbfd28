//! Clocks of tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesys_replay::clock::{Clock, SystemClock, Timestamp};
use tokio::time::Instant;

const BEGINNING: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// The system's clock, which a test moves forward.
#[derive(Debug, Default)]
pub struct ForwardClock {
    seconds: AtomicU64,
}

impl ForwardClock {
    /// Moves the clock forward.
    pub fn advance_seconds(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for ForwardClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Duration::from_secs(self.seconds.load(Ordering::Relaxed)))
    }
}

/// A clock that follows tokio's time, which a test with `start_paused` controls.
pub struct VirtualClock(Instant);

impl VirtualClock {
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        BEGINNING.plus(self.0.elapsed())
    }
}
