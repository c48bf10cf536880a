//! What the commands of this project have in common, `sinbin` and `sinbin-wasi`. Not for others: it changes as they do.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

pub mod descriptors;
pub mod output;
pub mod replay;
pub mod signals;
pub mod span;

/// Has logs go to stderr; what a program may want to read goes to stdout. `name` is the command's.
pub fn log(name: &str, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        eprintln!("{name}: --log {filter:?} is no filter ({error}); taking \"info\"");
        EnvFilter::new("info")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
