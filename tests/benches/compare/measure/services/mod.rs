//! Services that people write, beside the same programs with tokio (`tests/twins`), and beside redis-server and nginx
//! where they are installed. The load is that of their own tools: redis-benchmark and h2load.

mod fetch;
mod forward;
mod group;
mod http;
mod lines;
mod publish;
mod resp;
mod tls;

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Bench, cpu};
use crate::machine;
use crate::server::{Server, Who};

pub(super) fn run(bench: &mut Bench) {
    if bench.plan.peers_only {
        return;
    }
    bench.report.note(
        "Services: sinbin's are examples of the gallery, tokio's are the same programs on its current-thread runtime. \
         What does not wait is the same code in both.",
    );
    resp::run(bench);
    http::run(bench);
    fetch::run(bench);
    forward::run(bench);
    tls::run(bench);
    publish::run(bench);
    group::run(bench);
    lines::run(bench);
}

/// Starts a program on the server core.
fn start<'a>(
    bench: &Bench,
    program: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> io::Result<Server> {
    let mut command = machine::command(Some(bench.machine.server_core), program)?;
    Server::spawn(command.args(arguments).env("SINBIN_LOG", "error"))
}

/// Starts one of the twins.
fn twin<'a>(bench: &Bench, who: Who, arguments: impl IntoIterator<Item = &'a str>) -> io::Result<Server> {
    let side = if who == Who::Tokio { "tokio" } else { "sinbin" };
    start(bench, &bench.programs.services.twins, [side].into_iter().chain(arguments))
}

/// Runs `load`, and returns its result with the processor time that the server took meanwhile.
fn with_cpu<T>(server: &Server, load: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Duration)> {
    let before = cpu::time(server)?;
    let result = load()?;
    Ok((result, cpu::time(server)? - before))
}
