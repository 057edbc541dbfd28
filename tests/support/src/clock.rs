//! A wall clock on paused tokio time.

use genesys_replay::clock::{Clock, Timestamp};
use tokio::time::Instant;

const BEGINNING: Timestamp = Timestamp::from_millis(1_785_000_000_000);

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
