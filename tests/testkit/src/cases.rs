//! The number of cases of a property test.

use proptest::test_runner::Config;

/// Returns a configuration with `cases` cases, which run quickly. `PROPTEST_CASES` in the environment overrides the
/// number for a longer run.
///
/// A failure prints its smallest case, which should then become a test of its own.
pub fn cases(cases: u32) -> Config {
    let shrink = Config { max_shrink_iters: 5000, max_shrink_time: 20_000, ..Config::default() };
    let config = Config { failure_persistence: None, ..shrink };
    let is_told = std::env::var_os("PROPTEST_CASES").is_some();
    if is_told { config } else { Config { cases, ..config } }
}
