//! The real use case over the fakes, in virtual time: several workers, faults at every call, workers
//! that die at any await point, messages that come twice or out of order, clocks that differ. Each seed
//! is one story; what it must not contain is checked while it happens and at its end.
//!
//! `SEEDS=1000..2000 cargo test --test sim` tells others than the slice of `make test`.

mod bugs;
mod chance;
mod history;
mod late;
mod letters;
mod marks;
mod places;
mod scene;
mod story;
mod trouble;
mod watched;
mod worker;

use std::num::NonZero;
use std::ops::Range;

use bugs::Bug;
use story::{Told, tell};

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The seeds to run: from the environment, else the slice that every test run takes.
fn seeds(slice: Range<u64>) -> Result<Range<u64>, Box<dyn std::error::Error>> {
    let Ok(text) = std::env::var("SEEDS") else {
        return Ok(slice);
    };
    let (from, to) = text.split_once("..").ok_or("SEEDS is not like 0..1000")?;
    Ok(from.parse()?..to.parse()?)
}

/// Tells one story; a bad one is printed with all that happened in it.
#[expect(clippy::print_stdout, reason = "a test's output")]
fn told(seed: u64) -> Result<Told, String> {
    tell(seed, None).map_err(|story| {
        let next = seed + 1;
        println!("{story}\nagain: SEEDS={seed}..{next} cargo test --test sim simulation_loses");
        let violation = story.lines().next().unwrap_or_default().trim();
        format!("seed {seed}: {violation}")
    })
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "what the stories were made of, for --nocapture"
)]
fn simulation_loses_no_event_and_delivers_none_twice() -> TestResult {
    let seeds = seeds(0..300)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut sum = Told::default();
    std::thread::scope(|scope| {
        let parts = (0..cores).map(|part| {
            let seeds = seeds.clone().skip(part).step_by(cores);
            scope.spawn(|| seeds.map(told).sum::<Result<Told, String>>())
        });
        // All of them begin before the first is waited for.
        let parts: Vec<_> = parts.collect();
        for part in parts {
            sum += part.join().map_err(|_| "a story panicked")??;
        }
        TestResult::Ok(())
    })?;
    println!("seeds {seeds:?}: {sum:?}");
    // A few may well be quiet.
    let few = seeds.end - seeds.start < 100;
    assert!(few || sum.is_eventful(), "{sum:?}");
    Ok(())
}

#[test]
fn simulation_is_deterministic_for_a_seed() {
    for seed in 0..40 {
        assert_eq!(tell(seed, None), tell(seed, None), "seed {seed}");
    }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "which seed caught what, for --nocapture"
)]
fn simulation_catches_every_injected_bug() -> TestResult {
    for bug in Bug::all() {
        let mark = bug.gives_itself_away_by();
        let caught = seeds(0..500)?.find_map(|seed| {
            let story = tell(seed, Some(bug)).err()?;
            let violation = story.lines().next()?.trim().to_owned();
            violation.contains(mark).then_some((seed, violation))
        });
        let (seed, violation) = caught.ok_or_else(|| format!("{bug:?} is not caught"))?;
        println!("{bug:?}: seed {seed}: {violation}");
    }
    Ok(())
}
