//! HTTP/1.1 under the load of h2load: one short answer, and a file of 10 KB.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bench, start, twin, with_cpu};
use crate::figure::{Figure, View};
use crate::measure::Cell;
use crate::nginx::{self, Log};
use crate::programs;
use crate::server::{Server, Who};

/// The number of requests: for a measurement, and for a quick run.
const REQUESTS: u32 = 60_000;
const FEW: u32 = 5_000;

/// The size of the file.
const FILE_SIZE: usize = 10_000;

pub(super) fn run(bench: &mut Bench) {
    let hello = [64, 1000].map(|clients| {
        let rate =
            Figure::new(format!("hyper, {clients} connections: requests/s"), View::RatioTo(Who::Tokio));
        let rate = rate.at_least(Who::Sinbin, 1.0, Who::Tokio);
        let cpu = format!("hyper, {clients} connections: server CPU a request, µs");
        (clients, [rate, Figure::new(cpu, View::RatioTo(Who::Tokio))])
    });
    let file = "a file of 10 KB, 64 connections";
    let rate = Figure::new(format!("{file}: requests/s"), View::RatioTo(Who::Tokio));
    let cpu = Figure::new(format!("{file}: server CPU a request, µs"), View::RatioTo(Who::Tokio));
    let mut files = [rate.at_least(Who::Sinbin, 0.8, Who::Nginx), cpu];
    let without = programs::missing(&["h2load", "nginx"]);
    if !without.is_empty() {
        bench.report.note(format!("HTTP cannot be measured without {}.", without.join(" and ")));
        return;
    }
    for (clients, mut figures) in hello {
        for round in 0..bench.plan.rounds() {
            bench.round(&[Who::Sinbin, Who::Tokio], round, &mut figures, |bench, who| {
                bench.machine.pin(Some(bench.machine.load_core))?;
                let server = twin(bench, who, ["hello", "127.0.0.1:0"])?;
                measure(bench, &server, clients, "")
            });
        }
        bench.report.figures.extend(figures);
    }
    for round in 0..bench.plan.rounds() {
        bench.round(&[Who::Sinbin, Who::Tokio, Who::Nginx], round, &mut files, |bench, who| {
            bench.machine.pin(Some(bench.machine.load_core))?;
            let root = root()?;
            let directory = root.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
            let server = match who {
                Who::Nginx => nginx::start(bench.machine.server_core, &root, Log::Nothing)?,
                Who::Tokio => twin(bench, who, ["static-files", directory, "127.0.0.1:0"])?,
                _ => start(bench, &bench.programs.services.static_files, [directory, "127.0.0.1:0"])?,
            };
            measure(bench, &server, 64, "page.html")
        });
    }
    bench.report.figures.extend(files);
}

/// Creates the directory with the file, `page.html`.
pub(super) fn root() -> io::Result<PathBuf> {
    let root = Path::new(programs::SCRATCH).join("pages");
    fs::create_dir_all(&root)?;
    fs::write(root.join("page.html"), "x".repeat(FILE_SIZE))?;
    Ok(root)
}

/// Returns the requests a second, and the processor time of the server a request, in microseconds.
fn measure(bench: &Bench, server: &Server, clients: u32, path: &str) -> io::Result<Cell> {
    let requests = if bench.plan.is_quick() { FEW } else { REQUESTS };
    let (rate, cpu) = with_cpu(server, || load(server, clients, requests, path))?;
    Ok(Cell::of([rate, cpu.as_secs_f64() * 1e6 / f64::from(requests)]))
}

fn load(server: &Server, clients: u32, requests: u32, path: &str) -> io::Result<f64> {
    let mut command = Command::new("h2load");
    command.args(["--h1", "-c", &clients.to_string(), "-n", &requests.to_string()]);
    let text = programs::run(command.arg(format!("http://{}/{path}", server.address)))?;
    let rate = text.lines().find_map(|line| {
        line.strip_prefix("finished in ")?.split_once(", ")?.1.split_once(" req/s")?.0.parse().ok()
    });
    let all = format!("{requests} succeeded");
    match rate {
        Some(rate) if text.contains(&all) => Ok(rate),
        _ => Err(io::Error::other(format!("h2load: {text}"))),
    }
}
