//! The use case: claim, fetch, mark `retrying`, deliver, checkpoint, mark `replay_successful`, complete.

mod batch;
mod circuit_breaker;
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

/// Nothing starts when less than this is left of the invocation: one attempt needs its round trips.
pub const MIN_TIME_TO_START: Duration = Duration::from_secs(1);

/// A delivery starts only when this and the ledger's [margin](LedgerLatency) are left: 300 ms for the
/// target's answer before [`RESPONSE_MARGIN`].
pub const MIN_DELIVERY_TIME: Duration = Duration::from_millis(600);

/// What still runs this long before the invocation's end is cut off, so that the answer, which says
/// what comes back, reaches Lambda in time.
pub const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

/// The answer itself takes this much of it; the rest is for telling the queue how long to wait.
const RESPONSE_FLUSH_MARGIN: Duration = Duration::from_millis(50);

/// A lease ends this long after the invocation's deadline: while the function can still run, nobody
/// else takes its event, whatever the clocks of two machines differ by.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The ports of the use case, each filled by one type.
pub trait Ports {
    /// Who may work on an event.
    type Ledger: Ledger;
    /// Where interactions are marked.
    type Genesys: Genesys;
    /// What takes the events.
    type Target: Target;
    /// Where what must not be replayed is kept.
    type Archive: Archive;
    /// Where messages come back from.
    type Queue: Queue;
}

/// Replays dead letters.
pub struct Replay<P: Ports> {
    /// Who may work on an event.
    pub ledger: P::Ledger,
    /// Whether and how interactions are marked.
    pub retry_state: RetryState<P::Genesys>,
    /// What takes the events.
    pub target: P::Target,
    /// Where what must not be replayed is kept; without it such messages go back to the queue.
    pub archive: Option<P::Archive>,
    /// Where messages come back from.
    pub queue: P::Queue,
    /// Where events go.
    pub destination: ReplayTarget,
    /// How long to keep trying.
    pub policy: Policy,
    /// Which upstreams are left alone.
    pub circuit_breakers: CircuitBreakers,
    /// The ledger's observed latency.
    pub ledger_latency: LedgerLatency,
    /// The limits of the queues that were read.
    pub known_limits: KnownLimits,
    /// Whether the process is about to end.
    pub shutdown: Shutdown,
    /// What its adapters and circuit breakers count.
    pub meter: Arc<UpstreamCounters>,
    /// How many records of a batch are in flight at once; at least 1.
    pub max_concurrency: usize,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter.
    pub random: Arc<dyn Random>,
}

/// One call of the function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's id of it; unique.
    pub request_id: String,
    /// The function's own ARN without version or alias; empty where it is not known.
    pub function_arn: String,
    /// When Lambda ends it.
    pub deadline: Timestamp,
}

/// How much time an invocation has left, on the clock that cannot jump.
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

    /// Returns true if a record may start. `margin` is the ledger's checkpoint margin, here and below.
    fn allows_start(self, margin: Duration) -> bool {
        self.left() >= MIN_TIME_TO_START + margin
    }

    /// The longest wait after which another attempt may still start.
    fn max_delay(self, margin: Duration) -> Duration {
        self.left().saturating_sub(MIN_TIME_TO_START + margin)
    }

    /// Returns true if a delivery may start.
    fn allows_delivery(self, margin: Duration) -> bool {
        self.left() >= MIN_DELIVERY_TIME + margin
    }

    /// The end of a delivery: a later acceptance could not be recorded any more.
    fn delivery_end(self, margin: Duration) -> Instant {
        let cut_off = self.cut_off();
        cut_off.checked_sub(margin).unwrap_or(cut_off)
    }

    /// When nothing but the answer may be left to do.
    fn cleanup_deadline(self) -> Instant {
        self.end
            .checked_sub(RESPONSE_FLUSH_MARGIN)
            .unwrap_or(self.end)
    }

    /// When to cut off what still runs.
    fn cut_off(self) -> Instant {
        self.end.checked_sub(RESPONSE_MARGIN).unwrap_or(self.end)
    }
}
