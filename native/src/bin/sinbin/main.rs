//! The `sinbin` command: serve the shipped services, run again what was recorded of them, and measure any server that
//! speaks their protocol.

mod cli;
mod perf;
mod record;
mod replay;
mod serve;
mod services;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    sinbin::command::log("sinbin", &cli.log);
    let ended = match &cli.command {
        Command::Serve(command) => serve::run(command),
        Command::Replay(args) => replay::run(args),
        Command::Perf(command) => perf::run(command),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("sinbin: {error}");
        ExitCode::FAILURE
    })
}
