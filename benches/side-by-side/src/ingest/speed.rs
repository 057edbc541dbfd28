//! The speed of the server at a given rate and at its maximum.

use std::cell::Cell;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::Bench;
use super::load::{self, Pace, Plan};
use super::request::Caller;
use super::tally::Tally;
use crate::stats::Sample;

/// The results.
#[derive(Debug)]
pub(crate) struct Speed {
    pub(crate) name: String,
    pub(crate) due: usize,
    pub(crate) tally: Tally,
    pub(crate) took: Sample,
    pub(crate) late: Sample,
    pub(crate) elapsed: Duration,
    /// Processor time of the server.
    pub(crate) server: Duration,
    /// Processor time of this process: the callers and the queue.
    pub(crate) ours: Duration,
    /// Peak memory of the server, in bytes.
    pub(crate) peak_memory: u64,
    /// From the server's start until it listens.
    pub(crate) ready: Duration,
}

impl Speed {
    pub(crate) fn accepted_per_second(&self) -> f64 {
        per_second(self.tally.accepted, self.elapsed)
    }

    /// Returns the processor time of the server per request.
    pub(crate) fn server_per_request(&self) -> Duration {
        let requests = u32::try_from(self.took.len()).unwrap_or(u32::MAX);
        self.server / requests.max(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// Sends requests of ordinary size to a new server.
///
/// # Errors
/// The server does not start, or does not end.
pub(crate) async fn run(
    bench: &Bench,
    name: String,
    count: usize,
    plan: Plan,
) -> anyhow::Result<Speed> {
    let server = bench.start(if plan.pace == Pace::AtOnce { "ceiling" } else { "pace" }).await?;
    let mut caller = Caller::new()?;
    // The setup in the first request is not measured.
    let warm_up = caller.ordinary(WARM_UP)?;
    let plan_of_warm_up = Plan { pace: Pace::AtOnce, connections: 8, ..plan };
    load::run(&server.address, &warm_up, plan_of_warm_up, &Cell::new(false)).await?;
    bench.queue.take();
    let requests = caller.ordinary(count)?;
    let before = (server.process.processor_time()?, own_processor_time()?);
    let loaded = load::run(&server.address, &requests, plan, &Cell::new(false)).await?;
    let after = (server.process.processor_time()?, own_processor_time()?);
    let speed = Speed {
        name,
        due: count,
        tally: loaded.tally(bench.queue.take()),
        took: loaded.took(),
        late: loaded.late(),
        elapsed: loaded.elapsed,
        server: after.0.saturating_sub(before.0),
        ours: after.1.saturating_sub(before.1),
        peak_memory: server.process.peak_memory()?,
        ready: server.ready,
    };
    server.stop().await?;
    Ok(speed)
}

const WARM_UP: usize = 500;

fn own_processor_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
