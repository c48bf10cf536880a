//! Requests per second, and CPU time per request, at several numbers of connections.

use std::io;

use crate::figure::{Figure, View};
use crate::load::{Load, Tally};
use crate::measure::{Bench, Cell, cpu, throughput};
use crate::server::Who;

/// A number of clients, and the servers that can serve all of them.
struct Crowd {
    connections: usize,
    servers: Vec<Who>,
    /// The figures of requests per second, and of µs of CPU per request.
    figures: [Figure; 2],
}

pub(super) fn run(bench: &mut Bench) {
    let mut crowds: Vec<_> = [64, 1000, bench.many].into_iter().map(|count| crowd(bench, count)).collect();
    for round in 0..bench.plan.rounds() {
        for Crowd { connections, servers, figures } in &mut crowds {
            bench.round(servers, round, figures, |bench, who| cell(bench, *connections, who));
        }
    }
    bench.report.figures.extend(crowds.into_iter().flat_map(|crowd| crowd.figures));
}

fn crowd(bench: &mut Bench, connections: usize) -> Crowd {
    let figure = |what: &str| {
        let name = format!("{what}, in a sandbox, {connections} connections");
        Figure::new(name, View::RatioTo(Who::Sinbin))
    };
    let mut rate = figure("requests/s").at_least(Who::Driven, 0.95, Who::Sinbin);
    let mut servers = vec![Who::Sinbin, Who::Driven];
    match measure(bench, connections, Who::Portable).and_then(|(tally, _)| all_served(connections, &tally)) {
        Ok(()) => {
            servers.push(Who::Portable);
            if connections == 1000 {
                rate = rate.at_least(Who::Driven, 1.7, Who::Portable);
            }
        }
        Err(error) => bench
            .report
            .note(format!("{} is left out at {connections} connections: {error}.", Who::Portable.name())),
    }
    let cpu = figure("CPU µs a request").at_most_of(Who::Driven, 1.1, Who::Sinbin);
    Crowd { connections, servers, figures: [rate, cpu] }
}

fn all_served(connections: usize, tally: &Tally) -> io::Result<()> {
    let Tally { served, replies, .. } = *tally;
    if served == connections {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "only {served} clients received any of the {replies} replies in a window"
        )))
    }
}

fn cell(bench: &mut Bench, connections: usize, who: Who) -> io::Result<Cell> {
    let (tally, micros) = measure(bench, connections, who)?;
    let flaw = throughput::starved(bench, connections, who, &tally);
    Ok(Cell { values: vec![tally.per_second, micros], flaw })
}

/// Returns the result of a window, and the µs of CPU for each reply in it.
fn measure(bench: &Bench, connections: usize, who: Who) -> io::Result<(Tally, f64)> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = bench.server(who)?;
    let mut load = Load::connect(server.address, connections)?;
    load.start(1, bench.plan.warm_up())?;
    let before = cpu::time(&server)?;
    let tally = load.rate(bench.plan.window())?;
    let took = cpu::time(&server)? - before;
    let micros = took.as_secs_f64() * 1e6 / tally.replies as f64;
    Ok((tally, micros))
}
