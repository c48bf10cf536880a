//! How many cases a property is tried on.

use proptest::test_runner::Config;

/// `cases`, which takes a moment; `PROPTEST_CASES` in the environment says otherwise, for a long look.
///
/// What fails prints its smallest case, which then becomes a test by itself.
pub fn cases(cases: u32) -> Config {
    let shrink = Config { max_shrink_iters: 5000, max_shrink_time: 20_000, ..Config::default() };
    let config = Config { failure_persistence: None, ..shrink };
    let is_told = std::env::var_os("PROPTEST_CASES").is_some();
    if is_told { config } else { Config { cases, ..config } }
}
