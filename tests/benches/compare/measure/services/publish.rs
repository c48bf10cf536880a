//! Messages of one client for 200 others.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Bench, twin, with_cpu};
use crate::figure::{Figure, View};
use crate::load::expect;
use crate::measure::Cell;
use crate::server::Who;

const SUBSCRIBERS: usize = 200;

/// The length of a message.
const MESSAGE: usize = 32;

/// The number of messages that are sent before the subscribers read them, which is less than a server keeps.
const BURST: usize = 64;

/// The number of bursts: for a measurement, and for a quick run.
const BURSTS: usize = 40;
const FEW: usize = 4;

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(bench: &mut Bench) {
    let time = Figure::new("a message for 200 subscribers: time, µs", View::RatioTo(Who::Tokio));
    let cpu = Figure::new("a message for 200 subscribers: server CPU, µs", View::RatioTo(Who::Tokio));
    let mut figures = [time.at_most_of(Who::Sinbin, 1.0, Who::Tokio), cpu];
    for round in 0..bench.plan.rounds() {
        bench.round(&[Who::Sinbin, Who::Tokio], round, &mut figures, measure);
    }
    bench.report.figures.extend(figures);
}

fn measure(bench: &mut Bench, who: Who) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = twin(bench, who, ["publish", "127.0.0.1:0"])?;
    let connect = |kind: &[u8]| {
        let mut stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(kind)?;
        io::Result::Ok(stream)
    };
    let mut subscribers = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        let stream = connect(b"S")?;
        expect(&stream, b"+")?;
        subscribers.push(stream);
    }
    let mut publisher = connect(b"P")?;
    exchange(&mut publisher, &mut subscribers, 1)?;
    let bursts = if bench.plan.is_quick() { FEW } else { BURSTS };
    let began = Instant::now();
    let ((), cpu) = with_cpu(&server, || exchange(&mut publisher, &mut subscribers, bursts))?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / (bursts * BURST) as f64;
    Ok(Cell::of([micros(began.elapsed()), micros(cpu)]))
}

/// Sends bursts of messages, and receives each by all subscribers before the next one.
fn exchange(publisher: &mut TcpStream, subscribers: &mut [TcpStream], bursts: usize) -> io::Result<()> {
    let sent = vec![b'x'; MESSAGE * BURST];
    let mut received = vec![0; sent.len()];
    for _ in 0..bursts {
        publisher.write_all(&sent)?;
        for subscriber in &mut *subscribers {
            subscriber.read_exact(&mut received)?;
            if received != sent {
                return Err(io::Error::other("a wrong message"));
            }
        }
    }
    Ok(())
}
