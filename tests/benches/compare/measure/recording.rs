//! The cost of recording all input of the service, and the speed of a replay compared with the original run.

use std::io;
use std::process::Command;
use std::slice;
use std::time::Instant;

use super::{Bench, Cell, throughput};
use crate::figure::{Figure, View};
use crate::load::Load;
use crate::programs;
use crate::server::{MAX_CONNECTIONS, Who};

const PAIR: [Who; 2] = [Who::Sinbin, Who::Recorded];

const CONNECTIONS: usize = 64;

/// The number of requests that are replayed: for a measurement, and for a quick run.
const REQUESTS: usize = 1_000_000;
const FEW: usize = 20_000;

pub(super) fn run(bench: &mut Bench) {
    if bench.plan.peers_only {
        return;
    }
    bench.report.note(
        "\"sinbin, recording\" is `sinbin serve --record`: the same service behind the driver that sandboxes use, \
         with a file of all its input.",
    );
    let name = format!("requests/s while it is recorded, {CONNECTIONS} connections");
    let mut rate = Figure::new(name, View::RatioTo(Who::Sinbin)).at_least(Who::Recorded, 0.9, Who::Sinbin);
    for round in 0..bench.plan.rounds() {
        bench.round(&PAIR, round, slice::from_mut(&mut rate), |bench, who| {
            let server = bench.server(who)?;
            let mut load = Load::connect(server.address, CONNECTIONS)?;
            load.start(1, bench.plan.warm_up())?;
            let tally = load.rate(bench.plan.window())?;
            let flaw = throughput::starved(bench, CONNECTIONS, who, &tally);
            Ok(Cell { values: vec![tally.per_second], flaw })
        });
    }
    bench.report.figures.push(rate);
    let requests = if bench.plan.is_quick() { FEW } else { REQUESTS };
    let name = format!("{requests} recorded requests, told again: times as fast");
    let mut figure = Figure::new(name, View::Plain).at_least_so_much(Who::Recorded, 5.0);
    bench.once(&[Who::Recorded], &mut figure, |bench, who| faster(bench, who, requests));
    bench.report.figures.push(figure);
}

/// Returns how many times faster the replay is than the recorded run.
fn faster(bench: &Bench, who: Who, requests: usize) -> io::Result<f64> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = bench.server(who)?;
    let mut load = Load::connect(server.address, CONNECTIONS)?;
    let began = Instant::now();
    load.exactly(requests)?;
    let original = began.elapsed();
    drop(load);
    server.stop()?;
    let began = Instant::now();
    // A replay allows no more connections than it is told to: the recorded server had more than the default.
    let mut replay = Command::new(&bench.programs.sinbin);
    programs::run(replay.arg("replay").args(MAX_CONNECTIONS).arg(programs::recording()))?;
    Ok(original.as_secs_f64() / began.elapsed().as_secs_f64())
}
