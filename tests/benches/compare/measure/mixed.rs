//! A fast client beside a slow one: what a large computation does to everybody else.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Bench, Cell};
use crate::figure::{Figure, View};
use crate::load;
use crate::server::{Server, Setup, Who};

const SERVERS: [Who; 4] = [Who::Sinbin, Who::SinbinSlices, Who::Tokio, Who::Smol];

const FAST: Exchange = Exchange { request: b"1\n", reply: b"1\n" };
const SLOW: Exchange = Exchange { request: b"35\n", reply: b"9227465\n" };

/// Much longer than fib(35) takes, even at low priority.
const PATIENCE: Duration = Duration::from_secs(20);

struct Exchange {
    request: &'static [u8],
    reply: &'static [u8],
}

/// What a client saw in a window.
struct Seen {
    per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
}

/// Where the server runs, and the clients.
#[derive(Clone, Copy, PartialEq)]
enum Placement {
    /// The server and its workers on one core, both clients on the other: loop and worker compete.
    Apart,
    /// Everything on all cores.
    Free,
}

pub(super) fn run(bench: &mut Bench) {
    bench.report.note(
        "Beside fib(35) sinbin has one worker thread, tokio `spawn_blocking`, smol `unblock`; bare and mio take no \
         part. On one core the server competes with its own worker. With nothing pinned the fast client and the loop \
         share the core that the worker leaves, and are spared the waking of an idle core: so they are faster \
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
    let place = match placement {
        Placement::Apart => "server on one core",
        Placement::Free => "nothing pinned",
    };
    let beside = |what: &str, view| Figure::new(format!("fast client beside fib(35), {place}: {what}"), view);
    let alone = |what: &str| Figure::new(format!("fast client alone, {place}: {what}"), View::Detail);
    let rate = beside("requests/s", View::RatioTo(Who::Tokio));
    vec![
        // Where nobody competes, nobody can keep more than tokio does.
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

/// The values of the figures above, in their order.
fn measure(bench: &Bench, placement: Placement, who: Who) -> io::Result<Cell> {
    let machine = &bench.machine;
    let (server_core, load_core) = match placement {
        Placement::Apart => (Some(machine.server_core), Some(machine.load_core)),
        Placement::Free => (None, None),
    };
    machine.pin(load_core)?;
    let workers = Some(if who == Who::SinbinSlices { 0 } else { 1 });
    let setup = Setup { core: server_core, workers, ..Setup::of(who) };
    let server = Server::start(&setup, &bench.sinbin)?;
    let fast = connect(&server)?;
    repeat(&fast, bench.plan.warm_up())?;
    let alone = repeat(&fast, bench.plan.window())?;
    let (beside, slow) = beside_slow(bench, &server, &fast)?;
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

/// What the fast client saw, and how many answers a second the slow one got.
fn beside_slow(bench: &Bench, server: &Server, fast: &TcpStream) -> io::Result<(Seen, f64)> {
    let slow = connect(server)?;
    let (answers, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let client = scope.spawn(|| keep_asking(&slow, &answers, &over));
        let seen = repeat(fast, bench.plan.warm_up()).and_then(|_| {
            let (before, start) = (answers.load(Relaxed), Instant::now());
            let seen = repeat(fast, bench.plan.window())?;
            let slow = f64::from(answers.load(Relaxed) - before) / start.elapsed().as_secs_f64();
            Ok((seen, slow))
        });
        over.store(true, Relaxed);
        let shut = slow.shutdown(Shutdown::Both);
        let ended = client.join().map_err(|_| io::Error::other("the slow client panicked"))?;
        let seen = seen?;
        ended.and(shut)?;
        Ok(seen)
    })
}

fn keep_asking(stream: &TcpStream, answers: &AtomicU32, over: &AtomicBool) -> io::Result<()> {
    loop {
        match SLOW.make(stream) {
            Ok(()) => answers.fetch_add(1, Relaxed),
            Err(_) if over.load(Relaxed) => return Ok(()),
            Err(error) => {
                return Err(io::Error::other(format!("the slow client: {error}")));
            }
        };
    }
}

/// Makes one request after the other.
fn repeat(stream: &TcpStream, time: Duration) -> io::Result<Seen> {
    let mut histogram = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    let start = Instant::now();
    let mut last = start;
    while last - start < time {
        FAST.make(stream)?;
        let now = Instant::now();
        let nanos = u64::try_from((now - last).as_nanos()).map_err(io::Error::other)?;
        histogram.record(nanos).map_err(io::Error::other)?;
        last = now;
    }
    let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Seen {
        per_second: histogram.len() as f64 / (last - start).as_secs_f64(),
        p50_micros: micros(0.5),
        p99_micros: micros(0.99),
    })
}

fn connect(server: &Server) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Exchange {
    fn make(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(self.request)?;
        load::expect(stream, self.reply)
    }
}
