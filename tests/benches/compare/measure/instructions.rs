//! Instructions per request outside of the system, counted by callgrind. Unlike rates they are nearly equal in every
//! round, so one round suffices. They show how much work a server does itself, not how long a request takes.

use std::io;

use super::Bench;
use crate::callgrind;
use crate::figure::{Figure, View};
use crate::load::Load;
use crate::server::{Server, Setup, Who};

const SERVERS: [Who; 6] = [Who::Sinbin, Who::SinbinAsync, Who::Bare, Who::Mio, Who::Tokio, Who::Smol];

const CONNECTIONS: usize = 16;

/// The number of requests in the shorter run. The longer run has twice as many, and the difference excludes start and
/// end.
const REQUESTS: usize = 20_000;

pub(super) fn run(bench: &mut Bench) {
    let name = format!("user-space instructions a request, {CONNECTIONS} connections");
    let mut figure = Figure::new(name, View::Plain);
    if let Some(reason) = callgrind::missing() {
        bench.report.note(format!("Instructions a request cannot be counted here: {reason}."));
    } else {
        bench.report.note(format!(
            "Instructions a request are counted by callgrind, as the difference of runs with {REQUESTS} requests and \
             twice as many. Those of the system are not included."
        ));
        bench.once(&SERVERS, &mut figure, |bench, who| measure(bench, who));
    }
    bench.report.figures.push(figure);
}

fn measure(bench: &Bench, who: Who) -> io::Result<f64> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let once = instructions(bench, who, REQUESTS)?;
    let twice = instructions(bench, who, 2 * REQUESTS)?;
    Ok((twice - once) / REQUESTS as f64)
}

fn instructions(bench: &Bench, who: Who, requests: usize) -> io::Result<f64> {
    let setup = Setup { core: Some(bench.machine.server_core), counted: true, ..Setup::of(who) };
    let server = Server::start(&setup, &bench.programs)?;
    let mut load = Load::connect(server.address, CONNECTIONS)?;
    load.exactly(requests)?;
    drop(load);
    server.instructions()
}
