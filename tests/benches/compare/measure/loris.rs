//! Normal clients, alone and beside many clients that send a byte a second.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::beside::connect;
use super::{Bench, Cell};
use crate::figure::{Figure, View};
use crate::load::{self, Load};
use crate::server::{Server, Who};

const SERVERS: [Who; 4] = [Who::Sinbin, Who::SinbinAsync, Who::Bare, Who::Tokio];

/// The number of clients that are measured.
const NORMAL: usize = 64;

/// The number of clients that send a byte in each period.
const SLOW: u32 = 500;
const PERIOD: Duration = Duration::from_secs(1);

/// The request that slow clients send repeatedly.
const REQUEST: &[u8] = b"10\n";
const REPLY: &[u8] = b"55\n";

pub(super) fn run(bench: &mut Bench) {
    let name =
        |what| format!("{NORMAL} connections beside {SLOW} that send a byte a second (slow loris): {what}");
    let share = Figure::new(name("share of their rate without"), View::Plain);
    let mut figures = [
        share.at_least_so_much(Who::Sinbin, 0.9).at_least_so_much(Who::SinbinAsync, 0.9),
        Figure::new(name("requests/s"), View::Detail),
        Figure::new(format!("{NORMAL} connections without them: requests/s"), View::Detail),
    ];
    bench.report.note(
        "Slow loris: in every round the same server and normal clients are measured in a window without slow clients, \
         two with them, and one without. The slow clients' bytes are spread over the second.",
    );
    for round in 0..bench.plan.rounds() {
        bench.round(&SERVERS, round, &mut figures, measure);
    }
    bench.report.figures.extend(figures);
}

/// Returns the values of the figures above, in their order.
fn measure(bench: &mut Bench, who: Who) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = bench.server(who)?;
    let mut load = Load::connect(server.address, NORMAL)?;
    load.start(1, bench.plan.warm_up())?;
    let before = load.rate(bench.plan.window())?.per_second;
    let beside = beside(bench, &server, &mut load)?;
    let after = load.rate(bench.plan.window())?.per_second;
    let alone = f64::midpoint(before, after);
    Ok(Cell::of([beside / alone, beside, alone]))
}

/// Returns the rate of two windows beside the slow clients.
fn beside(bench: &Bench, server: &Server, load: &mut Load) -> io::Result<f64> {
    let mut slow = (0..SLOW).map(|_| Slow::connect(server)).collect::<io::Result<Vec<_>>>()?;
    let over = AtomicBool::new(false);
    let rates = thread::scope(|scope| {
        let sender = scope.spawn(|| send_slowly(&mut slow, &over));
        let window = |_| load.rate(bench.plan.window());
        let rates = [(); 2].map(window);
        over.store(true, Relaxed);
        sender.join().map_err(|_| io::Error::other("the slow clients panicked"))??;
        Ok::<_, io::Error>(rates)
    })?;
    slow.iter().try_for_each(Slow::check)?;
    let [first, second] = rates;
    Ok(f64::midpoint(first?.per_second, second?.per_second))
}

/// Sends a byte of each client in every period, one client after the other, until `over` is set.
fn send_slowly(slow: &mut [Slow], over: &AtomicBool) -> io::Result<()> {
    let mut due = Instant::now();
    loop {
        for client in &mut *slow {
            if over.load(Relaxed) {
                return Ok(());
            }
            client.send_byte()?;
            due += PERIOD / SLOW;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// A slow client. Its connection ends with a reset, like those of the load.
struct Slow {
    stream: TcpStream,
    sent: usize,
}

impl Slow {
    /// Connects a client, and sends a whole first request: after a partial first read, sinbin would assume that the
    /// client sends no newlines.
    fn connect(server: &Server) -> io::Result<Self> {
        let mut stream = connect(server)?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        stream.write_all(REQUEST)?;
        load::expect(&stream, REPLY)?;
        Ok(Self { stream, sent: 0 })
    }

    fn send_byte(&mut self) -> io::Result<()> {
        let at = self.sent % REQUEST.len();
        self.sent += 1;
        self.stream.write_all(&REQUEST[at..=at])
    }

    /// Checks that all complete requests are answered.
    fn check(&self) -> io::Result<()> {
        load::expect(&self.stream, &REPLY.repeat(self.sent / REQUEST.len()))
            .map_err(|error| io::Error::other(format!("a slow client: {error}")))
    }
}
