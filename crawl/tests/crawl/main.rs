//! Crawls of sites that exist in memory only.

mod hostile;
mod politeness;
mod redirects;
mod resume;
mod site;
mod walk;

/// Returns the settings of properties that run whole crawls: fewer cases than by default, unless `PROPTEST_CASES` says more.
fn config() -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 64 };
    proptest::test_runner::Config { cases, ..default }
}
