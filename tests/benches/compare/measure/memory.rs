//! Resident memory for each idle connection.

use std::time::Duration;
use std::{fs, io, slice, thread};

use super::{Bench, Cell};
use crate::figure::{Figure, View};
use crate::load::Load;
use crate::server::{Server, Setup, Who};

const SERVERS: [Who; 6] = [Who::Sinbin, Who::SinbinAsync, Who::Bare, Who::Mio, Who::Tokio, Who::Smol];

/// The time for the server to come to rest after the last reply.
const REST: Duration = Duration::from_millis(200);

/// sinbin, both ways.
const OURS: [Who; 2] = [Who::Sinbin, Who::SinbinAsync];

pub(super) fn run(bench: &mut Bench) {
    let name = format!("bytes RSS for each of {} idle connections", bench.many);
    let observed = Figure::new(format!("{name}, with the tables that `sinbin ps` reads"), View::Plain);
    let mut figure =
        Figure::new(name, View::Plain).at_most(Who::Sinbin, 200.0).at_most(Who::SinbinAsync, 400.0);
    // The tables may take 64 bytes.
    let mut observed = observed.at_most(Who::Sinbin, 264.0).at_most(Who::SinbinAsync, 464.0);
    for round in 0..bench.plan.rounds() {
        bench.round(&SERVERS, round, slice::from_mut(&mut figure), |bench, who| {
            measure_server(bench, &Setup { observed: false, ..setup(bench, who) })
        });
        bench.round(&OURS, round, slice::from_mut(&mut observed), |bench, who| measure(bench, who));
    }
    bench.report.figures.push(figure);
    bench.report.figures.push(observed);
}

/// Measures connections that have exchanged one request and are idle.
pub(super) fn measure(bench: &Bench, who: Who) -> io::Result<Cell> {
    measure_server(bench, &setup(bench, who))
}

fn setup(bench: &Bench, who: Who) -> Setup {
    Setup { core: Some(bench.machine.server_core), ..Setup::of(who) }
}

fn measure_server(bench: &Bench, setup: &Setup) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = Server::start(setup, &bench.programs)?;
    let before = resident(&server)?;
    let _load = Load::connect(server.address, bench.many)?;
    thread::sleep(REST);
    let after = resident(&server)?;
    Ok(Cell::of([(after - before) / bench.many as f64]))
}

/// Returns the resident bytes according to the page tables. The counters in `statm` are kept for each core, and are off
/// by up to hundreds of pages.
fn resident(server: &Server) -> io::Result<f64> {
    let path = format!("/proc/{}/smaps_rollup", server.pid());
    let text = fs::read_to_string(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB"));
    let kilobytes: Option<f64> = line.and_then(|line| line.trim().parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024.0).ok_or_else(|| io::Error::other(format!("no Rss in {path}")))
}
