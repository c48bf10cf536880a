//! System calls per request, counted from outside over a known number of requests.

use std::io;
use std::slice;

use super::counter::Counter;
use super::{Bench, Cell};
use crate::figure::{Figure, View};
use crate::load::Load;
use crate::server::Who;

const SERVERS: [Who; 6] = [Who::Sinbin, Who::SinbinAsync, Who::Bare, Who::Mio, Who::Tokio, Who::Smol];

/// Large enough that the few other calls do not affect two decimals.
const REQUESTS: usize = 5000;

pub(super) fn run(bench: &mut Bench) {
    let mut rows = [
        (1, Figure::new("system calls a request, 1 connection", View::Plain).at_most(Who::Sinbin, 3.0)),
        (64, Figure::new("system calls a request, 64 connections", View::Plain).at_most(Who::Sinbin, 2.1)),
    ];
    match Counter::choose() {
        Ok(counter) => {
            bench.report.note(format!(
                "System calls are counted by {} over {REQUESTS} requests.",
                counter.describe()
            ));
            count(bench, counter, &mut rows);
        }
        Err(reason) => bench.report.note(format!("System calls cannot be counted here: {reason}.")),
    }
    bench.report.figures.extend(rows.into_iter().map(|(_, figure)| figure));
}

fn count(bench: &mut Bench, counter: Counter, rows: &mut [(usize, Figure)]) {
    for round in 0..bench.plan.rounds() {
        for (connections, figure) in &mut *rows {
            bench.round(&SERVERS, round, slice::from_mut(figure), |bench, who| {
                Ok(Cell::of([measure(bench, counter, *connections, who)?]))
            });
        }
    }
}

fn measure(bench: &Bench, counter: Counter, connections: usize, who: Who) -> io::Result<f64> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = bench.server(who)?;
    let mut load = Load::connect(server.address, connections)?;
    let counting = counter.attach(server.pid())?;
    load.exactly(REQUESTS)?;
    Ok(counting.finish()? / REQUESTS as f64)
}
