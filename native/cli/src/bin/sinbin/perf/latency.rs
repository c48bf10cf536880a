//! `sinbin perf latency`.

use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::client::{Role, play};
use super::stats::Stats;
use crate::cli::LatencyArgs;

pub(crate) fn run(args: &LatencyArgs) -> Result<ExitCode, Box<dyn Error>> {
    let stats = Rc::new(RefCell::new(Stats::new(true)));
    let role = Role {
        n: args.n,
        connections: args.connections,
        pipeline: 1,
        bare: args.perf.bare,
        stats: Rc::clone(&stats),
    };
    let time = Duration::from_secs(args.perf.seconds.into());
    let seconds = play(&args.perf, &[role], time)?;
    super::finish(&stats.borrow(), seconds)
}
