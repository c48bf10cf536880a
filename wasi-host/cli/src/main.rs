//! The `sinbin-wasi` command, which runs services in a wasm sandbox.
#![deny(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod cli;
mod compile;
mod connect;
mod inspect;
mod load;
mod output;
mod replay;
mod replay_calls;
mod run;

use std::process::ExitCode;

use sinbin_cli::arguments::begin;
use sinbin_cli::{complain, log, manual};
use sinbin_wasi::Error;

use crate::cli::{Cli, Command};

/// The exit code for wrong arguments, equal to clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli: Cli = begin();
    log::begin(&cli.log);
    let ended = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Compile(args) => compile::run(args),
        Command::CompileApart(args) => compile::apart(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Completions(args) => manual::completions::<Cli>(args),
        Command::Man => manual::page::<Cli>(),
    };
    log::finish();
    ended.unwrap_or_else(|error| {
        complain(&error);
        match error.downcast_ref() {
            Some(Error::Arguments(_)) => USAGE.into(),
            _ => ExitCode::FAILURE,
        }
    })
}
