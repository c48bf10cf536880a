//! `sinbin perf latency`.

use std::error::Error;
use std::process::ExitCode;

use super::lap::{Plan, Prints};
use crate::cli::LatencyArgs;

pub(crate) fn run(args: &LatencyArgs) -> Result<ExitCode, Box<dyn Error>> {
    let plan = || Plan { connections: args.connections, ..Plan::one("", args.n) };
    super::measure("latency", &args.perf, Prints::Times, plan)
}
