//! The use case: claim, fetch, mark `retrying`, deliver, checkpoint, mark `replay_successful`, complete.

mod attempt;
mod batch;
mod circuit_breaker;
mod claim;
mod complete;
mod expiry;
mod ledger_latency;
pub mod log;
mod marking;
mod record;
mod reject;
mod result;
mod retry_policy;
mod rounds;
mod schedule;
mod shutdown;
mod task;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::archive::Archive;
use crate::clock::{Clock, Random, Timestamp};
use crate::destination::ReplayTarget;
use crate::genesys::Genesys;
use crate::ledger::Ledger;
use crate::meter::UpstreamCounters;
use crate::queue::Queue;
use crate::target::Target;
pub use circuit_breaker::CircuitBreakers;
pub use expiry::KnownLimits;
pub use ledger_latency::LedgerLatency;
pub use marking::RetryState;
pub use result::{Counts, Outcome, RecordReport, RecordResult};
pub use retry_policy::{Limits, Policy};
pub use shutdown::Shutdown;

/// The minimum time left of the invocation to start a record, because one attempt needs several round trips.
pub const MIN_TIME_TO_START: Duration = Duration::from_secs(1);

/// The minimum time left for a delivery, besides the ledger's [margin](LedgerLatency): 300 ms for the target's answer
/// before [`RESPONSE_MARGIN`].
pub const MIN_DELIVERY_TIME: Duration = Duration::from_millis(600);

/// The time before the invocation's end at which running work is cut off, so that the batch answer reaches Lambda in
/// time.
pub const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

/// The part of [`RESPONSE_MARGIN`] reserved for sending the answer; the rest is for `ChangeMessageVisibility`.
const RESPONSE_FLUSH_MARGIN: Duration = Duration::from_millis(50);

/// The time by which a lease outlasts the invocation's deadline. While the function can still run, no other worker
/// claims its event, even if the clocks of two machines differ.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The ports of the use case, each filled by one type.
pub trait Ports {
    /// The ledger, which grants leases on events.
    type Ledger: Ledger;
    /// Genesys Cloud, where interactions are marked.
    type Genesys: Genesys;
    /// The port that delivers events to their targets.
    type Target: Target;
    /// The archive for dead letters that are not replayed.
    type Archive: Archive;
    /// The queue of the messages.
    type Queue: Queue;
}

/// Replays dead letters.
pub struct Replay<P: Ports> {
    /// The ledger, which grants leases on events.
    pub ledger: P::Ledger,
    /// The handling of marks, from the setting `RETRY_STATE`.
    pub retry_state: RetryState<P::Genesys>,
    /// The port that delivers events to their targets.
    pub target: P::Target,
    /// The archive for dead letters that are not replayed; without an archive they return to the queue.
    pub archive: Option<P::Archive>,
    /// The queue of the messages.
    pub queue: P::Queue,
    /// The destination of events, from the setting `REPLAY_TARGET`.
    pub destination: ReplayTarget,
    /// The retry policy.
    pub policy: Policy,
    /// The circuit breakers, one per upstream.
    pub circuit_breakers: CircuitBreakers,
    /// The ledger's observed latency.
    pub ledger_latency: LedgerLatency,
    /// The limits of the queues that were read.
    pub known_limits: KnownLimits,
    /// The shutdown signal of the process.
    pub shutdown: Shutdown,
    /// The counters of the adapters and circuit breakers.
    pub meter: Arc<UpstreamCounters>,
    /// The maximum number of records of a batch in flight; at least 1.
    pub max_concurrency: usize,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness for jitter.
    pub random: Arc<dyn Random>,
}

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
struct Deadline {
    end: Instant,
}

impl Deadline {
    fn of(invocation: &Invocation, now: Timestamp) -> Self {
        Self {
            end: Instant::now() + invocation.deadline.since(now),
        }
    }

    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Returns true if a record may start. `margin` is the ledger's checkpoint margin in all these methods.
    fn allows_start(self, margin: Duration) -> bool {
        self.left() >= MIN_TIME_TO_START + margin
    }

    /// Returns the longest delay after which another attempt may still start.
    fn max_delay(self, margin: Duration) -> Duration {
        self.left().saturating_sub(MIN_TIME_TO_START + margin)
    }

    /// Returns true if a delivery may start.
    fn allows_delivery(self, margin: Duration) -> bool {
        self.left() >= MIN_DELIVERY_TIME + margin
    }

    /// Returns the end of a delivery. A later acceptance could not be recorded before the cut-off.
    fn delivery_end(self, margin: Duration) -> Instant {
        let cut_off = self.cut_off();
        cut_off.checked_sub(margin).unwrap_or(cut_off)
    }

    /// Returns the time by which all work except the answer must be done.
    fn cleanup_deadline(self) -> Instant {
        self.end
            .checked_sub(RESPONSE_FLUSH_MARGIN)
            .unwrap_or(self.end)
    }

    /// Returns the time at which running work is cut off.
    fn cut_off(self) -> Instant {
        self.end.checked_sub(RESPONSE_MARGIN).unwrap_or(self.end)
    }
}
