//! The recovery of an upstream after an outage: the admitted rate rises step by step.

use std::time::Duration;

use crate::clock::Timestamp;

/// The duration of one step of the recovery after a successful probe. Each step doubles the admitted rate.
const RECOVERY_STEP: Duration = Duration::from_secs(5);

/// The number of steps of the recovery: 2 to 64 calls per second and environment. Then the circuit is closed.
const RECOVERY_STEPS: u32 = 6;

/// The number of calls per second in the first step of the recovery.
const FIRST_STEP_CALLS_PER_SECOND: u32 = 2;

/// The recovery after a successful probe. It ends by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    since: Timestamp,
    /// The failures in a row.
    pub(super) failures: u32,
    /// The failed probes before the recovery. If the upstream fails again, the open time doubles once more.
    pub(super) failed_probes: u32,
    /// The second of the recovery to which `admitted` belongs.
    second: u64,
    /// The number of calls that were admitted in this second.
    admitted: u32,
}

impl Recovery {
    pub(super) const fn new(since: Timestamp, failed_probes: u32) -> Self {
        Self { since, failures: 0, failed_probes, second: 0, admitted: 0 }
    }

    pub(super) const fn with_failures(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// Returns the time until the end of the recovery; `None` if the recovery is over.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = (RECOVERY_STEP * RECOVERY_STEPS).saturating_sub(now.since(self.since));
        Some(left).filter(|left| !left.is_zero())
    }

    /// Admits a call if the step's rate allows another one in this second.
    pub(super) fn admits(&mut self, now: Timestamp) -> bool {
        let passed = now.since(self.since).as_secs();
        if passed != self.second {
            (self.second, self.admitted) = (passed, 0);
        }
        let step = u32::try_from(passed / RECOVERY_STEP.as_secs()).unwrap_or(RECOVERY_STEPS);
        let allowed = FIRST_STEP_CALLS_PER_SECOND.saturating_mul(2_u32.saturating_pow(step));
        let is_admitted = self.admitted < allowed;
        self.admitted += u32::from(is_admitted);
        is_admitted
    }
}
