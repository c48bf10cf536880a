//! Runs the shipped services under faults, in virtual time: many seeds, or one seed with its story.

mod cli;
mod many;
mod one;
#[path = "../shared/output.rs"]
mod output;
mod progress;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.seed {
        Some(seed) => one::run(seed, &cli),
        None if cli.steps.is_some() => one::endless(&cli),
        None => many::run(&cli),
    }
}

/// Prints `text`. Returns false if no reader is left.
fn say(text: &str) -> bool {
    output::say("simulate", text)
}
