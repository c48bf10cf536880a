//! Requests per second, at several numbers of connections.

use std::io;
use std::slice;

use super::{Bench, Cell};
use crate::figure::{Figure, View};
use crate::load::{Load, Tally};
use crate::server::{Server, Service, Setup, Who};

const SERVERS: [Who; 6] = [Who::Sinbin, Who::SinbinAsync, Who::Bare, Who::Mio, Who::Tokio, Who::Smol];

/// The servers with more than one service.
const SINBIN: [Who; 2] = [Who::Sinbin, Who::SinbinAsync];

struct Shape {
    connections: usize,
    pipelined: usize,
    same_core: bool,
    service: Service,
}

impl Shape {
    const fn of(connections: usize) -> Self {
        Self { connections, pipelined: 1, same_core: false, service: Service::Fib }
    }

    fn servers(&self) -> &'static [Who] {
        match self.service {
            Service::Fib => &SERVERS,
            Service::Echo => &SINBIN,
        }
    }
}

pub(super) fn run(bench: &mut Bench) {
    bench
        .report
        .note("In every window every client received replies, except where a problem below says otherwise.");
    let mut rows = rows(bench.many);
    for round in 0..bench.plan.rounds() {
        for (shape, figure) in &mut rows {
            bench.round(shape.servers(), round, slice::from_mut(figure), |bench, who| {
                let tally = measure(bench, shape, who)?;
                Ok(Cell {
                    values: vec![tally.per_second],
                    flaw: starved(bench, shape.connections, who, &tally),
                })
            });
        }
    }
    bench.report.figures.extend(rows.into_iter().map(|(_, figure)| figure));
}

fn rows(many: usize) -> Vec<(Shape, Figure)> {
    let figure = |name: &str| Figure::new(format!("requests/s, {name}"), View::RatioTo(Who::Bare));
    let crowd = |count: usize| {
        let figure = figure(&format!("{count} connections"));
        let figure = figure.at_least(Who::Sinbin, 0.97, Who::Bare).at_least(Who::Sinbin, 1.0, Who::Tokio);
        let figure = figure.at_least(Who::SinbinAsync, 0.97, Who::Sinbin);
        (Shape::of(count), figure)
    };
    let same_core = figure("1 connection, client on the same core");
    let pipelined = figure("64 connections, 16 pipelined");
    let echo = Figure::new("requests/s, echo, 64 connections", View::RatioTo(Who::Sinbin));
    vec![
        (Shape::of(1), figure("1 connection")),
        crowd(64),
        crowd(1000),
        crowd(many),
        (
            Shape { same_core: true, ..Shape::of(1) },
            same_core.at_least(Who::Sinbin, 1.0, Who::Tokio).at_least(Who::Sinbin, 1.0, Who::Mio),
        ),
        (Shape { pipelined: 16, ..Shape::of(64) }, pipelined.at_least(Who::Sinbin, 1.0, Who::Bare)),
        (
            Shape { service: Service::Echo, ..Shape::of(64) },
            echo.at_least(Who::SinbinAsync, 0.97, Who::Sinbin),
        ),
    ]
}

fn measure(bench: &Bench, shape: &Shape, who: Who) -> io::Result<Tally> {
    let machine = &bench.machine;
    machine.pin(Some(if shape.same_core { machine.server_core } else { machine.load_core }))?;
    let core = Some(machine.server_core);
    let setup = Setup { core, service: shape.service, ..Setup::of(who) };
    let server = Server::start(&setup, &bench.programs)?;
    let mut load = Load::connect(server.address, shape.connections)?;
    load.start(shape.pipelined, bench.plan.warm_up())?;
    load.rate(bench.plan.window())
}

/// Returns a problem if some clients starve, because a high rate is worthless then. With at least twice as many replies
/// as clients, each client should have received one. With fewer replies, the window is too short to tell.
pub(super) fn starved(bench: &mut Bench, connections: usize, who: Who, tally: &Tally) -> Option<String> {
    let Tally { served, replies, .. } = *tally;
    let text = format!("{served} of {connections} clients received any of the {replies} replies in a window");
    if served < connections && replies < 2 * connections {
        let name = who.name();
        bench.report.note(format!("{name}: {text}, which is too short to tell whether the others starve."));
        return None;
    }
    (served < connections).then_some(text)
}
