//! The start time of an instance, and the cost of another one.

use std::io;
use std::process::Command;

use crate::figure::{Figure, View};
use crate::measure::{Bench, Cell};
use crate::programs;
use crate::server::{Service, Who};

pub(super) fn run(bench: &mut Bench) {
    let mut figures = [
        Figure::new("instance, from a .cwasm to ready to serve, µs", View::Plain)
            .at_most(Who::Driven, 1000.0),
        Figure::new("another instance of a loaded component, ready to serve, µs", View::Detail),
        Figure::new("KiB RSS for each further idle instance", View::Plain).at_most(Who::Driven, 24.0),
    ];
    for round in 0..bench.plan.rounds() {
        bench.round(&[Who::Driven], round, &mut figures, |bench, _| measure(bench));
    }
    bench.report.figures.extend(figures);
}

fn measure(bench: &Bench) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.server_core))?;
    let compiled = bench.programs.sandbox.compile(Service::Fib)?;
    let said = programs::run(Command::new(&bench.programs.sandbox.instances).arg(&compiled))?;
    Ok(Cell::of([
        median(&said, "load and start, µs")?,
        median(&said, "start, µs")?,
        median(&said, "RSS of each, KiB")?,
    ]))
}

/// Returns the first number in the line that begins with `name`.
fn median(said: &str, name: &str) -> io::Result<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    let number = line.and_then(|line| line.split('\t').next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name:?} in {said:?}")))
}
