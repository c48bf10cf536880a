//! A client that fetches a file of 10 KB from nginx, eight times at once.

use std::io;
use std::process::Stdio;
use std::time::Instant;

use super::{Bench, cpu, http};
use crate::figure::{Figure, View};
use crate::machine;
use crate::measure::Cell;
use crate::nginx::{self, Log};
use crate::programs;
use crate::server::Who;

/// The number of requests: for a measurement, and for a quick run.
const REQUESTS: usize = 20_000;
const FEW: usize = 1000;

pub(super) fn run(bench: &mut Bench) {
    if !programs::missing(&["nginx"]).is_empty() {
        return bench.report.note("The fetcher cannot be measured without nginx.");
    }
    let rate = Figure::new("fetcher, a file of 10 KB: requests/s", View::RatioTo(Who::Tokio));
    let cpu = Figure::new("fetcher, a file of 10 KB: CPU a request, µs", View::RatioTo(Who::Tokio));
    let mut figures = [rate.at_least(Who::Sinbin, 1.0, Who::Tokio), cpu];
    for round in 0..bench.plan.rounds() {
        bench.round(&[Who::Sinbin, Who::Tokio], round, &mut figures, measure);
    }
    bench.report.figures.extend(figures);
}

/// Returns the requests a second, and the processor time of the client a request, in microseconds.
fn measure(bench: &mut Bench, who: Who) -> io::Result<Cell> {
    let requests = if bench.plan.is_quick() { FEW } else { REQUESTS };
    let server = nginx::start(bench.machine.load_core, &http::root()?, Log::Nothing)?;
    let services = &bench.programs.services;
    let (program, arguments) = match who {
        Who::Tokio => (&services.twins, &["tokio", "fetcher"][..]),
        _ => (&services.fetcher, &[][..]),
    };
    let mut client = machine::command(Some(bench.machine.server_core), program)?;
    client.args(arguments).args(vec![format!("http://{}/page.html", server.address); requests]);
    client.stdin(Stdio::null()).stdout(Stdio::null());
    let before = cpu::of_children()?;
    let began = Instant::now();
    let status = client.status()?;
    let (took, cpu) = (began.elapsed(), cpu::of_children()? - before);
    if !status.success() {
        return Err(io::Error::other(format!("the fetcher failed: {status}")));
    }
    Ok(Cell::of([requests as f64 / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / requests as f64]))
}
