//! A store that speaks RESP, under the load of redis-benchmark.

use std::io;
use std::process::Command;

use super::{Bench, start, twin, with_cpu};
use crate::figure::{Figure, View};
use crate::machine;
use crate::measure::Cell;
use crate::programs;
use crate::server::{Server, Who};

const CLIENTS: u32 = 50;

const PIPELINED: u32 = 16;

/// The number of requests of each kind: for a measurement, and for a quick run.
const REQUESTS: u32 = 400_000;
const FEW: u32 = 20_000;

pub(super) fn run(bench: &mut Bench) {
    let name = |what: &str| format!("RESP, {CLIENTS} clients, {PIPELINED} pipelined: {what}");
    let cpu = Figure::new(name("server CPU a request, µs"), View::RatioTo(Who::Tokio));
    let cpu = cpu.at_most_of(Who::Sinbin, 0.85, Who::Tokio).at_most_of(Who::Sinbin, 0.7, Who::Redis);
    let mut figures = [cpu, Figure::new(name("requests/s"), View::RatioTo(Who::Tokio))];
    let missing = programs::missing(&["redis-benchmark", "redis-server"]);
    if missing.is_empty() {
        for round in 0..bench.plan.rounds() {
            bench.round(&[Who::Sinbin, Who::Tokio, Who::Redis], round, &mut figures, |bench, who| {
                measure(bench, who)
            });
        }
    } else {
        bench.report.note(format!("RESP cannot be measured without {}.", missing.join(" and ")));
    }
    bench.report.figures.extend(figures);
}

fn measure(bench: &Bench, who: Who) -> io::Result<Cell> {
    bench.machine.pin(Some(bench.machine.load_core))?;
    let server = match who {
        Who::Redis => redis(bench)?,
        Who::Tokio => twin(bench, who, ["resp", "127.0.0.1:0"])?,
        _ => start(bench, &bench.programs.services.resp, ["127.0.0.1:0"])?,
    };
    let requests = if bench.plan.is_quick() { FEW } else { REQUESTS };
    let (rates, cpu) = with_cpu(&server, || load(&server, requests))?;
    let total = f64::from(requests) * rates.len() as f64;
    let seconds: f64 = rates.iter().map(|rate| f64::from(requests) / rate).sum();
    Ok(Cell::of([cpu.as_secs_f64() * 1e6 / total, total / seconds]))
}

fn redis(bench: &Bench) -> io::Result<Server> {
    let address = programs::free_address()?;
    let mut command = machine::command(Some(bench.machine.server_core), "redis-server".as_ref())?;
    let port = address.port().to_string();
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
    command.args(["--daemonize", "no"]).current_dir(programs::SCRATCH);
    Server::spawn_at(&mut command, address)
}

/// Returns the requests a second of SET and of GET.
fn load(server: &Server, requests: u32) -> io::Result<Vec<f64>> {
    let mut command = Command::new("redis-benchmark");
    command.args(["--csv", "-t", "set,get", "-h", "127.0.0.1", "-p", &server.address.port().to_string()]);
    command.args(["-n", &requests.to_string(), "-c", &CLIENTS.to_string(), "-P", &PIPELINED.to_string()]);
    let text = programs::run(&mut command)?;
    let rate = |line: &str| line.split(',').nth(1)?.trim_matches('"').parse().ok();
    let rates: Vec<f64> = text.lines().filter_map(rate).collect();
    if rates.len() == 2 { Ok(rates) } else { Err(io::Error::other(format!("redis-benchmark: {text}"))) }
}
