//! A fast client beside a slow one: the effect of a large computation on other clients.

use std::io;

use super::beside::{Exchange, Placement, SlowClients, seen_alone, seen_beside, start};
use super::{Bench, Cell};
use crate::figure::{Figure, View};
use crate::server::Who;

const SERVERS: [Who; 4] = [Who::Sinbin, Who::SinbinSlices, Who::Tokio, Who::Smol];

const SLOW: SlowClients =
    SlowClients { count: 1, exchange: Exchange { request: b"35\n", reply: b"9227465\n" } };

pub(super) fn run(bench: &mut Bench) {
    bench.report.note(
        "Beside fib(35) sinbin has one worker thread, tokio `spawn_blocking`, smol `unblock`; bare and mio take no \
         part. On one core the server competes with its own worker. With nothing pinned the fast client and the loop \
         share the core that the worker does not use, which saves waking an idle core. They are therefore faster \
         than alone, and the limit is the rate of 1 connection with its client on the same core.",
    );
    for placement in [Placement::Apart, Placement::Free] {
        let mut figures = figures(placement);
        for round in 0..bench.plan.rounds() {
            bench.round(&SERVERS, round, &mut figures, |bench, who| measure(bench, placement, who));
        }
        bench.report.figures.extend(figures);
    }
}

fn figures(placement: Placement) -> Vec<Figure> {
    let place = placement.name();
    let beside = |what: &str, view| Figure::new(format!("fast client beside fib(35), {place}: {what}"), view);
    let alone = |what: &str| Figure::new(format!("fast client alone, {place}: {what}"), View::Detail);
    let rate = beside("requests/s", View::RatioTo(Who::Tokio));
    vec![
        // If loop and worker do not compete, sinbin has no advantage over tokio.
        if placement == Placement::Apart { rate.at_least(Who::Sinbin, 1.5, Who::Tokio) } else { rate },
        beside("share of its rate alone", View::Plain),
        beside("p50, µs", View::Detail),
        beside("p99, µs", View::Plain).at_most(Who::SinbinSlices, 1000.0),
        beside("fib(35)/s of the slow client", View::Detail),
        alone("requests/s"),
        alone("p50, µs"),
        alone("p99, µs"),
    ]
}

/// Returns the values of the figures above, in their order.
fn measure(bench: &Bench, placement: Placement, who: Who) -> io::Result<Cell> {
    let workers = if who == Who::SinbinSlices { 0 } else { 1 };
    let (server, fast) = start(bench, placement, who, workers)?;
    let alone = seen_alone(bench, &fast)?;
    let (beside, slow) = seen_beside(bench, &server, &fast, &SLOW)?;
    Ok(Cell::of([
        beside.per_second,
        beside.per_second / alone.per_second,
        beside.p50_micros,
        beside.p99_micros,
        slow,
        alone.per_second,
        alone.p50_micros,
        alone.p99_micros,
    ]))
}
