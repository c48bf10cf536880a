//! The `sinbin` command, which serves the shipped services, replays recordings of them, and measures any server with
//! the same protocol.
#![deny(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod ask;
mod cli;
#[cfg(feature = "crawl")]
mod crawl;
mod observe;
mod perf;
mod record;
mod replay;
mod serve;
mod services;

use std::process::ExitCode;

use sinbin_cli::arguments::begin;
use sinbin_cli::{complain, log, manual};

use crate::cli::{Cli, Command};
use crate::observe::Look;

fn main() -> ExitCode {
    let cli: Cli = begin();
    match cli.command {
        Command::Perf(_) => log::begin_without_info(&cli.log),
        _ => log::begin(&cli.log),
    }
    let ended = match &cli.command {
        Command::Serve(command) => serve::run(command),
        Command::Replay(args) => replay::run(args),
        Command::Ask(args) => ask::run(args),
        #[cfg(feature = "crawl")]
        Command::Crawl(args) => crawl::run(args),
        Command::Perf(command) => perf::run(command),
        Command::Ps(args) => observe::run(&Look::Ps(args)),
        Command::Tree(args) => observe::run(&Look::Tree(args)),
        Command::Where(args) => observe::run(&Look::Place(args)),
        Command::Events(args) => observe::run(&Look::Events(args)),
        Command::Top(args) => observe::run(&Look::Top(args)),
        Command::Monitor(args) => observe::run(&Look::Monitor(args)),
        Command::Watch(args) => observe::run(&Look::Watch(args)),
        Command::Kill(args) => observe::run(&Look::Kill(args)),
        Command::Drain(args) => observe::run(&Look::Drain(args)),
        Command::Completions(args) => manual::completions::<Cli>(args),
        Command::Man => manual::page::<Cli>(),
    };
    log::finish();
    ended.unwrap_or_else(|error| {
        complain(error);
        ExitCode::FAILURE
    })
}
