//! A port forwarder, through which a target sends half a gigabyte to one client.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use super::{Bench, start, twin, with_cpu};
use crate::figure::{Figure, View};
use crate::measure::Cell;
use crate::server::Who;

/// The number of bytes: for a measurement, and for a quick run.
const BYTES: usize = 500_000_000;
const FEW: usize = 20_000_000;

/// The size of the target's writes, and of the client's reads.
const PIECE: usize = 256 * 1024;

pub(super) fn run(bench: &mut Bench) {
    let rate = Figure::new("forwarder, half a gigabyte: MB/s", View::RatioTo(Who::Tokio));
    let cpu = Figure::new("forwarder, half a gigabyte: server CPU, s", View::RatioTo(Who::Tokio));
    let mut figures =
        [rate.at_least(Who::Sinbin, 1.2, Who::Tokio), cpu.at_most_of(Who::Sinbin, 0.8, Who::Tokio)];
    for round in 0..bench.plan.rounds() {
        bench.round(&[Who::Sinbin, Who::Tokio], round, &mut figures, measure);
    }
    bench.report.figures.extend(figures);
}

fn measure(bench: &mut Bench, who: Who) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let bytes = if bench.plan.is_quick() { FEW } else { BYTES };
    let target = TcpListener::bind("127.0.0.1:0")?;
    let address = target.local_addr()?.to_string();
    // A thread inherits the core of its creator.
    let sender = thread::spawn(move || send(&target, bytes));
    let server = match who {
        Who::Tokio => twin(bench, who, ["forwarder", &address, "127.0.0.1:0"])?,
        _ => start(bench, &bench.programs.services.forwarder, [&*address, "127.0.0.1:0"])?,
    };
    let began = Instant::now();
    let (received, cpu) = with_cpu(&server, || receive(TcpStream::connect(server.address)?))?;
    let seconds = began.elapsed().as_secs_f64();
    sender.join().map_err(|_| io::Error::other("the target panicked"))??;
    if received != bytes {
        return Err(io::Error::other(format!("{received} of {bytes} bytes arrived")));
    }
    Ok(Cell::of([bytes as f64 / 1e6 / seconds, cpu.as_secs_f64()]))
}

/// Sends the bytes to the first client.
fn send(target: &TcpListener, bytes: usize) -> io::Result<()> {
    let (mut stream, _) = target.accept()?;
    let piece = vec![b'x'; PIECE];
    let mut left = bytes;
    while left > 0 {
        left -= stream.write(&piece[..left.min(PIECE)])?;
    }
    Ok(())
}

fn receive(mut stream: TcpStream) -> io::Result<usize> {
    let (mut piece, mut received) = (vec![0; PIECE], 0);
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(received),
            count => received += count,
        }
    }
}
