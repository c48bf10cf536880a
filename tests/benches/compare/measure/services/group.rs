//! A task that comes and goes in a group of many, compared with a group of few, by instructions.

use std::io;

use super::Bench;
use crate::callgrind;
use crate::figure::{Figure, View};
use crate::server::Who;

/// The numbers of idle tasks.
const FEW: u32 = 10;
const MANY: u32 = 9000;

/// The number of tasks that come and go in the shorter run; the longer one has twice as many.
const COUNT: u32 = 20_000;

pub(super) fn run(bench: &mut Bench) {
    let name =
        format!("instructions for a task that comes and goes beside {MANY} others, of those beside {FEW}");
    let mut figure = Figure::new(name, View::Plain).at_most(Who::Sinbin, 2.0);
    if callgrind::missing().is_none() {
        bench.once(&[Who::Sinbin], &mut figure, |bench, _| {
            Ok(come_and_go(bench, MANY)? / come_and_go(bench, FEW)?)
        });
    }
    bench.report.figures.push(figure);
}

/// Returns the instructions for each task that comes and goes.
fn come_and_go(bench: &Bench, idle: u32) -> io::Result<f64> {
    let once = instructions(bench, idle, COUNT)?;
    let twice = instructions(bench, idle, 2 * COUNT)?;
    Ok((twice - once) / f64::from(COUNT))
}

fn instructions(bench: &Bench, idle: u32, count: u32) -> io::Result<f64> {
    let mut command = callgrind::command(None, &bench.programs.services.twins)?;
    command.args(["sinbin", "group", &idle.to_string(), &count.to_string()]);
    callgrind::collected(&String::from_utf8_lossy(&command.output()?.stderr))
}
