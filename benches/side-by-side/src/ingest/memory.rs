//! The memory of the server when many callers send bodies near the maximum size concurrently.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::sleep;

use super::Bench;
use super::load::{self, Pace, Plan};
use super::request::{Caller, filler};
use super::tally::Tally;

/// The number of concurrent callers.
pub(crate) const CALLERS: usize = 200;

/// The size of a body, without its beginning.
pub(crate) const BODY_BYTES: usize = 1_000_000;

/// The idle time before the remaining memory is read.
const REST: Duration = Duration::from_secs(2);

/// The results.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Before the first request, in bytes.
    pub(crate) before: u64,
    pub(crate) rounds: Vec<Round>,
    /// Some time after the last request, in bytes.
    pub(crate) at_rest: u64,
}

/// One body from each caller.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    /// The peak memory and the memory at the end, in bytes.
    pub(crate) peak: u64,
    pub(crate) after: u64,
}

impl Memory {
    pub(crate) fn peak(&self) -> u64 {
        peak(&self.rounds)
    }

    /// Returns the peak of the first and of the second half of the rounds.
    pub(crate) fn halves(&self) -> (u64, u64) {
        let (first, second) = self.rounds.split_at(self.rounds.len() / 2);
        (peak(first), peak(second))
    }
}

fn peak(rounds: &[Round]) -> u64 {
    rounds.iter().map(|round| round.peak).max().unwrap_or_default()
}

/// Runs rounds with one server.
///
/// # Errors
/// The server does not start, or does not end.
pub(crate) async fn run(bench: &Bench, rounds: usize) -> anyhow::Result<Memory> {
    let server = bench.start("memory").await?;
    let before = server.process.memory_now()?;
    let mut caller = Caller::new()?;
    let filler = filler(BODY_BYTES);
    let plan =
        Plan { pace: Pace::AtOnce, connections: CALLERS, time_limit: Duration::from_secs(120) };
    let mut done = Vec::new();
    for _ in 0..rounds {
        let requests = caller.large(CALLERS, &filler)?;
        server.process.forget_peak()?;
        let loaded = load::run(&server.address, &requests, plan, &Cell::new(false)).await?;
        done.push(Round {
            tally: loaded.tally(bench.queue.take()),
            elapsed: loaded.elapsed,
            peak: server.process.peak_memory()?,
            after: server.process.memory_now()?,
        });
    }
    sleep(REST).await;
    let at_rest = server.process.memory_now()?;
    server.stop().await?;
    Ok(Memory { before, rounds: done, at_rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_halves_are_compared_by_their_highest_round() {
        let round =
            |peak| Round { tally: Tally::default(), elapsed: Duration::ZERO, peak, after: 0 };
        let memory = Memory { before: 0, rounds: [5, 9, 7, 6].map(round).into(), at_rest: 0 };
        assert_eq!((memory.halves(), memory.peak()), ((9, 7), 9));
    }
}
