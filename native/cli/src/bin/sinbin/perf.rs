//! `sinbin perf`: the talk's two clients, alone and together.

pub(crate) mod advice;
mod client;
mod latency;
mod mixed;
mod stats;
mod throughput;

use std::error::Error;
use std::process::ExitCode;

use crate::cli::Perf;
use crate::perf::stats::Stats;
use sinbin_cli::output;
use sinbin_cli::signals::interrupted;

pub(crate) fn run(command: &Perf) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Perf::Latency(args) => latency::run(args),
        Perf::Throughput(args) => throughput::run(args),
        Perf::Mixed(args) => mixed::run(args),
    }
}

/// Prints the summary of a measurement. Fails if the measurement had a problem or measured nothing.
fn finish(stats: &Stats, seconds: f64) -> Result<ExitCode, Box<dyn Error>> {
    if stats.count() > 0 {
        output::line_or_end(stats.summary(seconds));
    }
    match stats.verdict().or_else(|| nothing(stats, seconds)) {
        Some(verdict) => Err(verdict.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Returns an error message if the measurement has no results, unless a signal ended it.
fn nothing(stats: &Stats, seconds: f64) -> Option<String> {
    (stats.count() == 0 && !interrupted())
        .then(|| format!("no request was answered in {seconds:.1} s; measure for longer (--seconds)"))
}
