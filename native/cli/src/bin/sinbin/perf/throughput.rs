//! `sinbin perf throughput`.

use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::client::{Role, play};
use super::stats::{Stats, Ticker};
use crate::cli::ThroughputArgs;

pub(crate) fn run(args: &ThroughputArgs) -> Result<ExitCode, Box<dyn Error>> {
    let stats = Stats::new(false);
    let ticker = Ticker::start(stats.counter())?;
    let stats = Rc::new(RefCell::new(stats));
    let role = Role {
        n: args.n,
        connections: args.connections,
        pipeline: args.pipeline,
        bare: args.perf.bare,
        stats: Rc::clone(&stats),
    };
    let time = Duration::from_secs(args.perf.seconds.into());
    let seconds = play(&args.perf, &[role], time)?;
    drop(ticker);
    super::finish(&stats.borrow(), seconds)
}
