//! Properties of every input, in addition to examples.
//!
//! The seed is fixed, so that a failure is reproducible. Its smallest input is printed. For other inputs:
//! `PROPTEST_RNG_SEED=7 PROPTEST_CASES=5000 cargo test --test properties`.

mod backoff;
mod claims;
mod classification;
mod keys;
mod parsing;
mod retry_after;
mod samples;
mod settings;
mod signatures;

use proptest::test_runner::{Config, RngSeed};

/// Returns a configuration with a fixed seed, unless the environment has another one.
fn config() -> Config {
    Config {
        rng_seed: RngSeed::Fixed(20_260_725),
        // No regression files, because the seed is enough.
        failure_persistence: None,
        ..Config::default()
    }
}
