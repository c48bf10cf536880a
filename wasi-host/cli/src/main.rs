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
mod several;

use std::process::ExitCode;

use sinbin_cli::arguments::begin_with;
use sinbin_cli::{complain, log, manual};
use sinbin_wasi::Error;

use crate::cli::{Cli, Command, refuse};

/// The exit code for wrong arguments, equal to clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let (own, further) = several::split(std::env::args_os());
    let cli: Cli = begin_with(own);
    if !further.is_empty() && !matches!(cli.command, Command::Run(_)) {
        refuse("--and requires `run`");
    }
    log::begin(&cli.log);
    let ended = match cli.command {
        Command::Run(args) => run::run(several::guests(*args, further)),
        Command::Replay(args) => replay::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::CompileApart(args) => compile::apart(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Completions(args) => manual::completions::<Cli>(&args),
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
