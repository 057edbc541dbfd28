//! The pace at which the bytes of a request arrive.

use std::time::Duration;

use tokio::time::Instant;

/// The time without a byte after which a sender counts as stalled. A lost packet is repeated sooner.
pub(super) const STALL_TIME: Duration = Duration::from_millis(500);

/// The bytes that have arrived, and their times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    began: Instant,
    last_byte: Instant,
    bytes: u64,
}

/// The pace of a sender; the slowest is the least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// No byte has arrived for [`STALL_TIME`].
    Stalled {
        /// The time of the last byte.
        last_byte: Instant,
    },
    /// Bytes arrive.
    Moving {
        /// The average since the first byte.
        bytes_per_second: u64,
    },
}

impl Pace {
    /// Returns the bytes that arrive in a second at this pace.
    pub(super) const fn bytes_per_second(self) -> u64 {
        match self {
            Self::Stalled { .. } => 0,
            Self::Moving { bytes_per_second } => bytes_per_second,
        }
    }
}

impl Progress {
    pub(super) const fn new(now: Instant) -> Self {
        Self { began: now, last_byte: now, bytes: 0 }
    }

    pub(super) fn receive(&mut self, bytes: usize, now: Instant) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.last_byte = now;
    }

    /// Leaves a time out of the average in which the server did not read.
    pub(super) fn leave_out(&mut self, pause: Duration) {
        self.began += pause;
        self.last_byte += pause;
    }

    /// Returns the time since the first byte.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    pub(super) fn pace(&self, now: Instant) -> Pace {
        if now.saturating_duration_since(self.last_byte) >= STALL_TIME {
            return Pace::Stalled { last_byte: self.last_byte };
        }
        let millis = u64::try_from(self.age(now).as_millis()).unwrap_or(u64::MAX).max(1);
        Pace::Moving { bytes_per_second: self.bytes.saturating_mul(1_000) / millis }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_stalled_sender_is_slower_than_every_moving_one() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let of = |bytes, last| {
            let mut progress = Progress::new(began);
            progress.receive(bytes, at(last));
            progress.pace(at(1_000))
        };
        let paces = [of(40_000, 0), of(40_000, 500), of(1, 501), of(2_000, 999), of(40_000, 1_000)];
        assert!(paces.is_sorted(), "{paces:?}");
        assert_eq!(paces[4], Pace::Moving { bytes_per_second: 40_000 });
        assert_eq!(paces[1].bytes_per_second(), 0);
    }

    #[test]
    fn pause_of_the_server_does_not_slow_a_sender() {
        let began = Instant::now();
        let mut progress = Progress::new(began);
        progress.receive(1_000, began + Duration::from_secs(1));
        progress.leave_out(Duration::from_secs(9));
        let pace = progress.pace(began + Duration::from_secs(10));
        assert_eq!(pace, Pace::Moving { bytes_per_second: 1_000 });
    }
}
