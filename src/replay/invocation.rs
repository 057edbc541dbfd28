//! The invocation: its deadline, and the time limits that follow from it.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;

/// The minimum time left of the invocation to start a record, because one attempt needs several round trips.
const MIN_TIME_TO_START: Duration = Duration::from_secs(1);

/// The minimum time left for a delivery, besides the checkpoint margin of the ledger: 300 ms for the target's answer
/// before `RESPONSE_MARGIN`.
const MIN_DELIVERY_TIME: Duration = Duration::from_millis(600);

/// The time before the invocation's end at which running work is cut off, so that the batch answer reaches Lambda in
/// time.
const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

/// The part of `RESPONSE_MARGIN` reserved for sending the answer; the rest is for `ChangeMessageVisibility`.
const RESPONSE_FLUSH_MARGIN: Duration = Duration::from_millis(50);

/// One invocation of the function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The unique request id from Lambda.
    pub request_id: String,
    /// The function's own ARN without version or alias; empty if the ARN is not known.
    pub function_arn: String,
    /// The time at which Lambda ends the invocation.
    pub deadline: Timestamp,
}

/// The time left of an invocation, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    end: Instant,
}

impl Deadline {
    pub(super) fn of(invocation: &Invocation, now: Timestamp) -> Self {
        Self { end: Instant::now() + invocation.deadline.since(now) }
    }

    pub(super) fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Returns true if a record may start. `margin` is the ledger's checkpoint margin in all these methods.
    pub(super) fn allows_start(self, margin: Duration) -> bool {
        self.left() >= MIN_TIME_TO_START + margin
    }

    /// Returns the longest delay after which another attempt may still start.
    pub(super) fn max_delay(self, margin: Duration) -> Duration {
        self.left().saturating_sub(MIN_TIME_TO_START + margin)
    }

    /// Returns true if a delivery may start.
    pub(super) fn allows_delivery(self, margin: Duration) -> bool {
        self.left() >= MIN_DELIVERY_TIME + margin
    }

    /// Returns the end of a delivery. A later acceptance could not be recorded before the cut-off.
    pub(super) fn delivery_end(self, margin: Duration) -> Instant {
        let cut_off = self.cut_off();
        cut_off.checked_sub(margin).unwrap_or(cut_off)
    }

    /// Returns the time by which all work except the answer must be done.
    pub(super) fn cleanup_deadline(self) -> Instant {
        self.end.checked_sub(RESPONSE_FLUSH_MARGIN).unwrap_or(self.end)
    }

    /// Returns the time at which running work is cut off.
    pub(super) fn cut_off(self) -> Instant {
        self.end.checked_sub(RESPONSE_MARGIN).unwrap_or(self.end)
    }
}

/// The invocation in which a record is handled.
#[derive(Clone, Copy)]
pub(super) struct InvocationContext<'b> {
    pub(super) request_id: &'b str,
    pub(super) lease_until: Timestamp,
    pub(super) time: Deadline,
}
