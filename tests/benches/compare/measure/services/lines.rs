//! The lines of code of the services, without comments, blank lines, and what both forms share.

use std::fs;
use std::io;
use std::path::Path;

use super::Bench;
use crate::figure::{Figure, View};
use crate::programs;
use crate::server::Who;

/// The programs of the gallery.
const SINBIN: [&str; 9] = [
    "chat.rs",
    "chat/service.rs",
    "fetcher.rs",
    "forwarder.rs",
    "resp.rs",
    "resp/service.rs",
    "reverse_proxy.rs",
    "static_files.rs",
    "tls_terminator.rs",
];

/// Their twins, and what these need beside.
const TOKIO: [&str; 9] = [
    "pem.rs",
    "tokio/accept.rs",
    "tokio/chat.rs",
    "tokio/fetcher.rs",
    "tokio/forwarder.rs",
    "tokio/resp.rs",
    "tokio/reverse_proxy.rs",
    "tokio/static_files.rs",
    "tokio/tls_terminator.rs",
];

pub(super) fn run(bench: &mut Bench) {
    let figure = Figure::new("lines of code of seven programs", View::Plain);
    let mut figure = figure.at_most_of(Who::Sinbin, 1.0, Who::Tokio);
    bench.once(&[Who::Sinbin, Who::Tokio], &mut figure, |_, who| match who {
        Who::Tokio => lines("tests/twins/src", &TOKIO),
        _ => lines("native/examples", &SINBIN),
    });
    bench.report.figures.push(figure);
}

fn lines(directory: &str, files: &[&str]) -> io::Result<f64> {
    let directory = Path::new(programs::WORKSPACE).join(directory);
    let mut lines = 0;
    for file in files {
        let text = fs::read_to_string(directory.join(file))?;
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        lines += text.lines().filter(is_code).count();
    }
    Ok(lines as f64)
}
