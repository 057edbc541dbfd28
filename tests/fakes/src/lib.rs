//! In-memory ports of genesys-replay that behave as the real adapters, and the suites that check both
//! against the same contract.
//!
//! The fakes are not scripted mocks: each has a state that its clones share, so that several workers can
//! use it. A [`Faults`] hook injects faults before and after the effect of each call.
//! [`conformance`] has one suite per port; `tests/it/conformance.rs` runs them. A [`Witness`] checks the
//! invariants of one event for the simulation and for the model of a claim.

mod archive;
mod clock;
pub mod conformance;
mod faults;
mod genesys;
mod ledger;
mod message_sender;
mod queue;
mod secret;
mod subscriptions;
mod target;
mod witness;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_replay::backoff::Backoff;
use genesys_replay::clock::{Clock, Random};
use genesys_replay::destination::ReplayTarget;
use genesys_replay::meter::UpstreamCounters;
use genesys_replay::replay::{
    CircuitBreakers, KnownQueues, LedgerLatency, Limits, Policy, Ports, Replay, RetryState,
    Shutdown,
};
use genesys_replay_ingest::{Authentication, Ingest, IngestPorts, SubscriptionCheck};

pub use archive::MemoryArchive;
pub use clock::ManualClock;
pub use faults::{FaultHookFuture, Faults, NoFaults};
pub use genesys::MemoryGenesys;
pub use ledger::{Flaw, Item, LeaseLost, MemoryLedger, Rules, Status};
pub use message_sender::MemorySender;
pub use queue::{Draft, MemoryQueues, Received, Redrive};
pub use secret::MemorySecret;
pub use subscriptions::MemorySubscriptions;
pub use target::{Accepted, MemoryTarget, first_delivery};
pub use witness::{Clocks, Violation, Witness, WorkerId};

/// The ports of a function in memory.
#[derive(Clone, Copy, Debug)]
pub enum InMemory {}

impl Ports for InMemory {
    type Ledger = MemoryLedger;
    type Genesys = MemoryGenesys;
    type Target = MemoryTarget;
    type Archive = MemoryArchive;
    type Queue = MemoryQueues;
}

impl IngestPorts for InMemory {
    type MessageSender = MemorySender;
    type Subscriptions = MemorySubscriptions;
    type Secret = MemorySecret;
}

impl InMemory {
    /// Returns an ingest over new ports that checks every subscription.
    #[must_use]
    pub fn ingest(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        authentication: Authentication<MemorySecret>,
    ) -> Ingest<Self> {
        let check = SubscriptionCheck::new(MemorySubscriptions::default(), Arc::clone(&clock));
        Ingest {
            sender: MemorySender::default(),
            check: Some(check),
            authentication,
            clock,
            random,
        }
    }

    /// Returns a function over new ports, with an archive and the default settings.
    #[must_use]
    pub fn function(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        destination: ReplayTarget,
    ) -> Replay<Self> {
        let meter = Arc::new(UpstreamCounters::default());
        Replay {
            ledger: MemoryLedger::new(Duration::from_secs(15 * 86_400)),
            retry_state: RetryState::Required(MemoryGenesys::default()),
            target: MemoryTarget::default(),
            archive: Some(MemoryArchive::default()),
            queue: MemoryQueues::new(Arc::clone(&clock)),
            destination,
            policy: Policy::new(Limits {
                max_receives: 10,
                backoff: Backoff { base: Duration::from_secs(2), max: Duration::from_secs(900) },
                ..Limits::default()
            }),
            circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
            ledger_latency: LedgerLatency::default(),
            known_queues: KnownQueues::default(),
            shutdown: Shutdown::default(),
            meter,
            max_concurrency: 10,
            clock,
            random,
        }
    }
}

/// Locks a state. A panic under the lock has already failed the test that caused it.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
