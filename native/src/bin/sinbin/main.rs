//! The `sinbin` command: serve the shipped services, and measure any server that speaks their protocol.

mod cli;
mod descriptors;
mod output;
mod perf;
mod serve;
mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli.log);
    let ended = match &cli.command {
        Command::Serve(command) => serve::run(command),
        Command::Perf(command) => perf::run(command),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("sinbin: {error}");
        ExitCode::FAILURE
    })
}

/// Logs go to stderr; what a program may want to read goes to stdout.
fn log(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        eprintln!("sinbin: --log {filter:?} is no filter ({error}); taking \"info\"");
        EnvFilter::new("info")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
