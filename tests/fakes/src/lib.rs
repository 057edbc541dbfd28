//! In-memory ports of genesys-replay that behave as the real adapters do, and the suites that hold
//! both to the same contract.
//!
//! The fakes are no scripted mocks: each keeps a state, shared by its clones, so that several workers
//! can live in one world. What goes wrong is decided by a [`Faults`] that every call passes twice.
//! [`conformance`] has one suite for each port; `tests/it/conformance.rs` runs them. A [`Witness`] says
//! what must not happen to an event, to the simulation and to the model of a claim alike.

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
    CircuitBreakers, KnownLimits, LedgerLatency, Limits, Policy, Ports, Replay, RetryState,
    Shutdown,
};
use genesys_replay_ingest::{Authentication, Ingest, IngestPorts, SubscriptionCheck};

pub use archive::MemoryArchive;
pub use clock::ManualClock;
pub use faults::{Faults, NoFaults, Passage};
pub use genesys::MemoryGenesys;
pub use ledger::{Flaw, Item, LeaseLost, MemoryLedger, Rules, Status};
pub use message_sender::MemorySender;
pub use queue::{Draft, MemoryQueues, Received, Redrive};
pub use secret::MemorySecret;
pub use subscriptions::MemorySubscriptions;
pub use target::{Accepted, MemoryTarget};
pub use witness::{Clocks, Life, Violation, Witness};

/// The ports of a function of which everything is in memory.
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
    /// An ingest over ports of its own, which asks for every subscription.
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

    /// A function over ports of its own, with an archive and the settings that hold unless others are given.
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
                backoff: Backoff {
                    base: Duration::from_secs(2),
                    max: Duration::from_secs(900),
                },
                ..Limits::default()
            }),
            circuit_breakers: CircuitBreakers::new(Arc::clone(&meter)),
            ledger_latency: LedgerLatency::default(),
            known_limits: KnownLimits::default(),
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
