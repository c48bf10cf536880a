//! `sinbin perf throughput`.

use std::error::Error;
use std::process::ExitCode;

use super::lap::{Plan, Prints};
use crate::cli::ThroughputArgs;

pub(crate) fn run(args: &ThroughputArgs) -> Result<ExitCode, Box<dyn Error>> {
    let plan = || Plan { connections: args.connections, pipeline: args.pipeline, ..Plan::one("", args.n) };
    super::measure("throughput", &args.perf, Prints::Rates, plan)
}
