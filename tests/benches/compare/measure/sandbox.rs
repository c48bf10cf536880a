//! The service in a wasm sandbox, compared with the native one of the same build.

mod crowd;
mod instances;

use std::{fs, io, slice};

use super::beside::{Exchange, Placement, SlowClients, seen_beside, start};
use super::{Bench, Cell, memory};
use crate::figure::{Figure, View};
use crate::programs;
use crate::server::{Service, Who};

/// The servers that have workers, and whose memory for each connection can be measured.
const PAIR: [Who; 2] = [Who::Sinbin, Who::Driven];

const SLOW: SlowClients =
    SlowClients { count: 2, exchange: Exchange { request: b"30\n", reply: b"832040\n" } };

pub(super) fn run(bench: &mut Bench) {
    if bench.plan.peers_only {
        return;
    }
    bench.report.note(
        "\"sinbin, wasm\" is the service as a component that `sinbin-wasi` drives; \"sinbin, WASI 0.2\" is the same \
         service as a command of WASI 0.2, on the same host by way of wasmtime-wasi. CPU is the time of all the \
         server's threads, including the system's work for them.",
    );
    crowd::run(bench);
    memory(bench);
    for placement in [Placement::Free, Placement::Apart] {
        beside(bench, placement);
    }
    instances::run(bench);
    size(bench);
}

fn memory(bench: &mut Bench) {
    let name = format!("bytes RSS for each of {} idle connections, in a sandbox", bench.many);
    let mut figure = Figure::new(name, View::Detail);
    for round in 0..bench.plan.rounds() {
        bench.round(&PAIR, round, slice::from_mut(&mut figure), |bench, who| memory::measure(bench, who));
    }
    bench.report.figures.push(figure);
}

fn beside(bench: &mut Bench, placement: Placement) {
    let name = |what| format!("fast client beside two of fib(30), one worker, {}: {what}", placement.name());
    let mut figures = [
        Figure::new(name("p50, µs"), View::Plain).at_most(Who::Driven, 50.0),
        Figure::new(name("p99, µs"), View::Detail),
        Figure::new(name("fib(30)/s of the slow clients"), View::Detail),
    ];
    for round in 0..bench.plan.rounds() {
        bench.round(&PAIR, round, &mut figures, |bench, who| {
            let (server, fast) = start(bench, placement, who, 1)?;
            let (seen, slow) = seen_beside(bench, &server, &fast, &SLOW)?;
            Ok(Cell::of([seen.p50_micros, seen.p99_micros, slow]))
        });
    }
    bench.report.figures.extend(figures);
}

fn size(bench: &mut Bench) {
    let mut figure = Figure::new("bytes of fib.wasm", View::Plain).at_most(Who::Driven, 24.0 * 1024.0);
    bench.once(&[Who::Driven], &mut figure, |_, who| file_size(who));
    bench.report.figures.push(figure);
}

fn file_size(who: Who) -> io::Result<f64> {
    Ok(fs::metadata(programs::guest(who, Service::Fib))?.len() as f64)
}
