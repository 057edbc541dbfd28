//! The use case: claim, fetch, mark `retrying`, deliver, checkpoint, mark `replay_successful`, complete.

mod archiving;
mod attempt;
mod backlog;
mod batch;
mod circuit_breaker;
mod claim;
mod clean_up;
mod complete;
pub mod decision;
mod expiry;
mod interrupt;
mod invocation;
mod known_queues;
mod ledger_latency;
pub mod log;
mod marking;
mod phase;
mod receive_budget;
mod record;
mod redirected;
mod reject;
mod result;
mod retry_context;
mod retry_policy;
mod rounds;
mod schedule;
mod settle;
mod shutdown;
mod task;

use std::sync::Arc;
use std::time::Duration;

use crate::archive::Archive;
use crate::clock::{Clock, Random};
use crate::destination::ReplayTarget;
use crate::genesys::Genesys;
use crate::ledger::Ledger;
use crate::meter::UpstreamCounters;
use crate::queue::Queue;
use crate::target::Target;
pub use circuit_breaker::CircuitBreakers;
pub use invocation::Invocation;
pub use known_queues::KnownQueues;
pub use ledger_latency::LedgerLatency;
pub use marking::RetryState;
pub use result::{Counts, Outcome, RecordReport, RecordResult};
pub use retry_policy::{Limits, Policy};
pub use shutdown::Shutdown;

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
    /// The limits and depths of the queues that were read.
    pub known_queues: KnownQueues,
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
