//! The real use case over the fakes, in virtual time: several workers, faults at every call, workers
//! that die at any await point, messages that come twice. Each seed is one story; what it must not
//! contain is checked while it happens and at its end.
//!
//! `SEEDS=1000..2000 cargo test --release --test sim` runs others than the slice of `make test`.

mod bugs;
mod chance;
mod history;
mod story;
mod watched;

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

#[test]
#[expect(
    clippy::print_stdout,
    reason = "what the stories were made of, for --nocapture"
)]
fn no_story_loses_an_event_or_delivers_one_twice_on_purpose() -> TestResult {
    let seeds = seeds(0..300)?;
    let mut told = Told::default();
    for seed in seeds.clone() {
        told += tell(seed, None).map_err(|violation| {
            format!(
                "seed {seed}: {violation}\nagain: SEEDS={seed}..{} cargo test --test sim no_story",
                seed + 1
            )
        })?;
    }
    println!("seeds {seeds:?}: {told:?}");
    // Stories in which nothing goes wrong prove nothing; a single one may well be quiet.
    let enough = seeds.end - seeds.start >= 100;
    assert!(
        !enough || told.kills > 0 && told.faults > 0 && told.repeated > 0,
        "{told:?}"
    );
    Ok(())
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "which seed caught what, for --nocapture"
)]
fn every_deliberate_bug_is_caught() -> TestResult {
    for bug in Bug::ALL {
        let caught = (0..500).find_map(|seed| {
            tell(seed, Some(bug))
                .err()
                .map(|violation| (seed, violation))
        });
        let (seed, violation) = caught.ok_or_else(|| format!("{bug:?} is not caught"))?;
        println!("{bug:?}: seed {seed}: {violation}");
    }
    Ok(())
}
