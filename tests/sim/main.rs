//! The real use case over the fakes, in virtual time: several workers, faults at every call, crashes at any
//! await point, duplicate and reordered messages, clock skew. Each seed is one deterministic run, whose
//! invariants are checked at every step and at its end.
//!
//! `SEEDS=1000..2000 cargo test --test sim` runs other seeds than `make test`.

mod bugs;
mod config;
mod events;
mod fault_kinds;
mod faults;
mod genesys_port;
mod history;
mod lasting_fault;
mod late_failures;
mod locations;
mod ports;
mod simulation;
mod worker;

use std::num::NonZero;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bugs::Bug;
use simulation::{RunStats, run_seed};
use tokio::time::Instant;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The fixed seeds, if the variable `SEEDS` does not name others.
const SEEDS: Range<u64> = 0..300;

/// Seeds outside of [`SEEDS`] that have found a bug.
const FOUND_BUGS: &[u64] = &[];

/// The time for the fresh seeds.
const FRESH_SEEDS_TIME: Duration = Duration::from_secs(20);

/// Returns the seeds of the variable `SEEDS`.
fn seeds() -> Result<Option<Range<u64>>, Box<dyn std::error::Error>> {
    let Ok(text) = std::env::var("SEEDS") else {
        return Ok(None);
    };
    let (from, to) = text.split_once("..").ok_or("SEEDS is not like 0..1000")?;
    Ok(Some(from.parse()?..to.parse()?))
}

/// Returns the first fresh seed of a commit and a date: a number with at most nine digits.
fn first_fresh_seed(name: &str) -> u64 {
    // FNV-1a, which gives the same number on every machine.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash % 1_000_000_000
}

/// Runs one seed. Prints the log of a run with a violation.
#[expect(clippy::print_stdout, reason = "a test's output")]
fn run_or_print(seed: u64) -> Result<RunStats, String> {
    let ran = std::panic::catch_unwind(|| run_seed(seed, None));
    ran.unwrap_or_else(|_| Err("VIOLATION: a panic".to_owned())).map_err(|log| {
        let next = seed + 1;
        println!("{log}\nagain: SEEDS={seed}..{next} cargo test --test sim simulation_loses");
        let violation = log.lines().next().unwrap_or_default().trim();
        format!("seed {seed}: {violation}")
    })
}

/// Runs seeds on all cores. A thread ends at the first seed that fails.
fn run_all(seeds: impl Iterator<Item = u64> + Send) -> Result<RunStats, String> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let seeds = Mutex::new(seeds);
    let next = || seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let run = || std::iter::from_fn(next).map(run_or_print).sum::<Result<RunStats, String>>();
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|it| it.join().map_err(|_| "a run panicked")?).sum()
    })
}

#[test]
#[expect(clippy::print_stdout, reason = "the statistics of the runs, for --nocapture")]
fn simulation_loses_no_event_and_delivers_none_twice() -> TestResult {
    let named = seeds()?;
    let found_bugs = if named.is_none() { FOUND_BUGS } else { &[] };
    let seeds = named.unwrap_or(SEEDS);
    let sum = run_all(seeds.clone().chain(found_bugs.iter().copied()))?;
    println!("seeds {seeds:?}: {sum}");
    // A few seeds may lack some of the situations.
    let few = seeds.end - seeds.start < 300;
    assert!(few || sum.missing().is_empty(), "never happened: {:?}", sum.missing());
    Ok(())
}

#[test]
#[ignore = "each commit and date has other seeds: `make test` runs them"]
#[expect(clippy::print_stdout, reason = "the seeds, for --nocapture")]
fn fresh_seeds() -> TestResult {
    let name = std::env::var("FRESH_SEEDS").map_err(|_| "FRESH_SEEDS is not set")?;
    let first = first_fresh_seed(&name);
    println!("fresh seeds of {name}: from {first}");
    let deadline = Instant::now() + FRESH_SEEDS_TIME;
    let mut next = first;
    let seeds = (first..).take_while(|_| Instant::now() < deadline).inspect(|seed| next = seed + 1);
    let sum = run_all(seeds)?;
    println!("seeds {:?}: {sum}", first..next);
    Ok(())
}

#[test]
fn simulation_is_deterministic_for_a_seed() {
    for seed in 0..40 {
        assert_eq!(run_seed(seed, None), run_seed(seed, None), "seed {seed}");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed that caught each bug, for --nocapture")]
fn simulation_catches_every_injected_bug() -> TestResult {
    for bug in Bug::all() {
        let expected = bug.expected_violation();
        let caught = (0..500).find_map(|seed| {
            let log = run_seed(seed, Some(bug)).err()?;
            let violation = log.lines().next()?.trim().to_owned();
            violation.contains(expected).then_some((seed, violation))
        });
        let (seed, violation) = caught.ok_or_else(|| format!("{bug:?} is not caught"))?;
        println!("{bug:?}: seed {seed}: {violation}");
    }
    Ok(())
}
