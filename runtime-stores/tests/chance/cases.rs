//! How many cases a test by chance runs, and from which seed.

use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// So many cases, or as many as `RUNTIME_CASES` says; from a new seed, or the one that `PROPTEST_RNG_SEED` says. Both are printed, so that
/// a failure can be had again.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let cases = variable("RUNTIME_CASES").unwrap_or(usual);
    let seed = variable("PROPTEST_RNG_SEED").unwrap_or_else(|| RandomState::new().hash_one(usual));
    println!("{cases} cases; PROPTEST_RNG_SEED={seed} makes the same ones again");
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}
