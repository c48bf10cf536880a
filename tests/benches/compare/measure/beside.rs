//! The measurement of a fast client, alone and beside slow ones.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Bench;
use crate::load;
use crate::server::{Server, Setup, Who};

const FAST: Exchange = Exchange { request: b"1\n", reply: b"1\n" };

/// Much longer than any request takes, even at low priority.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Exchange {
    pub(super) request: &'static [u8],
    pub(super) reply: &'static [u8],
}

/// Clients that send requests continuously.
pub(super) struct SlowClients {
    pub(super) count: usize,
    pub(super) exchange: Exchange,
}

/// The measurements of a client in a window.
pub(super) struct Seen {
    pub(super) per_second: f64,
    pub(super) p50_micros: f64,
    pub(super) p99_micros: f64,
}

/// The cores of the server and of the clients.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Placement {
    /// The server and its workers on one core, all clients on the other: loop and worker compete.
    Apart,
    /// Server and clients on all cores.
    Free,
}

impl Placement {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apart => "server on one core",
            Self::Free => "nothing pinned",
        }
    }
}

/// Starts a server with `workers` workers, and connects its fast client.
pub(super) fn start(
    bench: &Bench,
    placement: Placement,
    who: Who,
    workers: usize,
) -> io::Result<(Server, TcpStream)> {
    let machine = &bench.machine;
    let (server_core, load_core) = match placement {
        Placement::Apart => (Some(machine.server_core), Some(machine.load_core)),
        Placement::Free => (None, None),
    };
    machine.pin(load_core)?;
    let setup = Setup { core: server_core, workers: Some(workers), ..Setup::of(who) };
    let server = Server::start(&setup, &bench.programs)?;
    let fast = connect(&server)?;
    Ok((server, fast))
}

/// Measures the fast client alone.
pub(super) fn seen_alone(bench: &Bench, fast: &TcpStream) -> io::Result<Seen> {
    repeat(fast, bench.plan.warm_up())?;
    repeat(fast, bench.plan.window())
}

/// Measures the fast client beside slow ones. Returns its measurements, and the slow clients' answers per second.
pub(super) fn seen_beside(
    bench: &Bench,
    server: &Server,
    fast: &TcpStream,
    slow: &SlowClients,
) -> io::Result<(Seen, f64)> {
    let streams: Vec<_> = (0..slow.count).map(|_| connect(server)).collect::<io::Result<_>>()?;
    let (answers, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let ask = |stream| keep_asking(stream, &slow.exchange, &answers, &over);
        let clients: Vec<_> = streams.iter().map(|stream| scope.spawn(move || ask(stream))).collect();
        let seen = watch(bench, fast, &answers);
        over.store(true, Relaxed);
        let shut: Vec<_> = streams.iter().map(|stream| stream.shutdown(Shutdown::Both)).collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        let seen = seen?;
        for (ended, shut) in ended.into_iter().zip(shut) {
            ended.map_err(|_| io::Error::other("a slow client panicked"))?.and(shut)?;
        }
        Ok(seen)
    })
}

/// Measures one window of the fast client, and the rate of the other clients' answers in it.
fn watch(bench: &Bench, fast: &TcpStream, answers: &AtomicU32) -> io::Result<(Seen, f64)> {
    repeat(fast, bench.plan.warm_up())?;
    let (before, start) = (answers.load(Relaxed), Instant::now());
    let seen = repeat(fast, bench.plan.window())?;
    let slow = f64::from(answers.load(Relaxed) - before) / start.elapsed().as_secs_f64();
    Ok((seen, slow))
}

fn keep_asking(
    stream: &TcpStream,
    exchange: &Exchange,
    answers: &AtomicU32,
    over: &AtomicBool,
) -> io::Result<()> {
    loop {
        match exchange.make(stream) {
            Ok(()) => answers.fetch_add(1, Relaxed),
            Err(_) if over.load(Relaxed) => return Ok(()),
            Err(error) => {
                return Err(io::Error::other(format!("a slow client: {error}")));
            }
        };
    }
}

/// Sends one request after the other.
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

/// Connects a client with a read timeout.
pub(super) fn connect(server: &Server) -> io::Result<TcpStream> {
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
