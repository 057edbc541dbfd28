//! What holds for every input, not only for the examples that somebody thought of.
//!
//! The seed is fixed: a failure comes back with the next run, its smallest input printed. To look
//! further: `PROPTEST_RNG_SEED=7 PROPTEST_CASES=5000 cargo test --test properties`.

mod backoff;
mod claims;
mod classification;
mod keys;
mod opening;
mod retry_after;
mod samples;
mod settings;
mod signatures;

use proptest::test_runner::{Config, RngSeed};

/// The same run everywhere; the environment may ask for another one.
fn config() -> Config {
    Config {
        rng_seed: RngSeed::Fixed(20_260_725),
        // The seed says it all; no file is left in the tree.
        failure_persistence: None,
        ..Config::default()
    }
}
