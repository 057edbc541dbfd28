//! The real use case over the fakes, in virtual time: several workers, faults at every call, crashes at any
//! await point, duplicate and reordered messages, clock skew. Each seed is one deterministic run, whose
//! invariants are checked at every step and at its end.
//!
//! `SEEDS=1000..2000 cargo test --test sim` runs other seeds than `make test`.

mod bugs;
mod config;
mod events;
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

use bugs::Bug;
use simulation::{RunStats, run_seed};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Returns the seeds of the variable `SEEDS`, else the default range.
fn seeds(slice: Range<u64>) -> Result<Range<u64>, Box<dyn std::error::Error>> {
    let Ok(text) = std::env::var("SEEDS") else {
        return Ok(slice);
    };
    let (from, to) = text.split_once("..").ok_or("SEEDS is not like 0..1000")?;
    Ok(from.parse()?..to.parse()?)
}

/// Runs one seed. Prints the log of a run with a violation.
#[expect(clippy::print_stdout, reason = "a test's output")]
fn run_or_print(seed: u64) -> Result<RunStats, String> {
    run_seed(seed, None).map_err(|log| {
        let next = seed + 1;
        println!("{log}\nagain: SEEDS={seed}..{next} cargo test --test sim simulation_loses");
        let violation = log.lines().next().unwrap_or_default().trim();
        format!("seed {seed}: {violation}")
    })
}

#[test]
#[expect(clippy::print_stdout, reason = "the statistics of the runs, for --nocapture")]
fn simulation_loses_no_event_and_delivers_none_twice() -> TestResult {
    let seeds = seeds(0..300)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut sum = RunStats::default();
    std::thread::scope(|scope| {
        let parts = (0..cores).map(|part| {
            let seeds = seeds.clone().skip(part).step_by(cores);
            scope.spawn(|| seeds.map(run_or_print).sum::<Result<RunStats, String>>())
        });
        // All threads begin before the first is joined.
        let parts: Vec<_> = parts.collect();
        for part in parts {
            sum += part.join().map_err(|_| "a run panicked")??;
        }
        TestResult::Ok(())
    })?;
    println!("seeds {seeds:?}: {sum:?}");
    // A few seeds may lack some of the situations.
    let few = seeds.end - seeds.start < 100;
    assert!(few || sum.is_eventful(), "{sum:?}");
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
        let caught = seeds(0..500)?.find_map(|seed| {
            let log = run_seed(seed, Some(bug)).err()?;
            let violation = log.lines().next()?.trim().to_owned();
            violation.contains(expected).then_some((seed, violation))
        });
        let (seed, violation) = caught.ok_or_else(|| format!("{bug:?} is not caught"))?;
        println!("{bug:?}: seed {seed}: {violation}");
    }
    Ok(())
}
