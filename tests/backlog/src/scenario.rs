//! A run: a backlog, an outage, and the environments that drain the queue.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use genesys_fakes::{MemoryArchive, MemoryLedger};
use genesys_replay::clock::Clock;
use tokio::time::Instant;
use url::Url;

use crate::environment::{Billing, Environment, Services};
use crate::genesys::{GenesysClient, GenesysServer};
use crate::queue::{BacklogQueue, RETENTION};
use crate::report::Report;
use crate::target::LimitedTarget;
use crate::time::{Latency, SeededRandom, VirtualClock, lock};

/// The retention of finished ledger items, as set by `IDEMPOTENCY_TTL_DAYS`.
const LEDGER_RETENTION: Duration = Duration::from_secs(15 * 24 * 3_600);

/// A backlog and its circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The number of dead letters in the queue at first.
    pub messages: usize,
    /// True if the events have interactions: each replay then needs three calls to Genesys Cloud, which allows 300 a
    /// minute.
    pub has_interactions: bool,
    /// The time for which the target is down, from the first second on.
    pub outage: Duration,
    /// The deliveries that the target accepts in a minute; `None` without a limit.
    pub target_per_minute: Option<usize>,
    /// The number of execution environments.
    pub environments: usize,
}

/// The error when a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime cannot be built.
    #[error("the runtime cannot be built")]
    Runtime(#[from] std::io::Error),
    /// The target's address is invalid.
    #[error("the target's address is invalid")]
    Target(#[from] url::ParseError),
}

/// Runs a scenario in virtual time, until the queue is empty or its retention period is over.
///
/// # Errors
/// The run cannot begin.
pub fn run(scenario: Scenario) -> Result<Report, RunError> {
    let target_url = Url::parse("https://crm.example/events")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(drain(scenario, target_url)))
}

async fn drain(scenario: Scenario, target_url: Url) -> Report {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::start());
    let services = Services {
        ledger: MemoryLedger::new(LEDGER_RETENTION).with_faults(Arc::new(Latency)),
        archive: MemoryArchive::default().with_faults(Arc::new(Latency)),
        target: LimitedTarget::new(scenario.outage, scenario.target_per_minute, Arc::clone(&clock)),
        queue: BacklogQueue::new(scenario.messages, Arc::clone(&clock)),
        clock: Arc::clone(&clock),
        random: Arc::new(SeededRandom::new(1)),
        target_url,
    };
    let genesys = GenesysServer::new(clock, Arc::clone(&services.random));
    let billing: Arc<Mutex<Billing>> = Arc::default();
    let end = Instant::now() + RETENTION;
    let environments = FuturesUnordered::new();
    for number in 0..scenario.environments {
        let environment = Environment::new(
            number,
            services.clone(),
            GenesysClient::new(genesys.clone()),
            scenario.has_interactions,
            Arc::clone(&billing),
        );
        environments.push(environment.run(end));
    }
    environments.collect::<()>().await;
    let billing = std::mem::take(&mut *lock(&billing));
    Report::new(
        scenario,
        services.queue.counts(),
        services.target.counts(),
        genesys.counts(),
        services.archive.documents().len(),
        billing,
    )
}
