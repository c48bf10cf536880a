//! A crawl of Python's documentation, served by nginx on the other core: `sinbin crawl`, the same crawler as a guest, and
//! crawlers of others. Each runs on one core, with eight requests at a time.
//!
//! The log of nginx tells what was fetched, not the crawlers.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Bench, Cell, cpu};
use crate::figure::{Figure, View};
use crate::machine;
use crate::nginx::{self, Log};
use crate::programs;
use crate::server::Who;

/// The site, and the Debian package that has it.
const SITE: &str = "/usr/share/doc/python3-doc/html";
const PACKAGE: &str = "python3-doc";

/// The first page.
const FIRST: &str = "index.html";

/// The number of requests at a time.
const CONCURRENCY: &str = "8";

/// The exit code of wget2 after responses that are errors.
const WGET_BROKEN_LINKS: i32 = 8;

const WHO: [Who; 5] = [Who::Sinbin, Who::Driven, Who::Tokio, Who::Wget, Who::Aiohttp];

pub(super) fn run(bench: &mut Bench) {
    if bench.plan.peers_only {
        return;
    }
    let mut lacking = programs::missing(&["nginx"]);
    lacking.extend((!Path::new(SITE).exists()).then(|| PACKAGE.to_owned()));
    if !lacking.is_empty() {
        return bench.report.note(format!("A crawl cannot be measured without {}.", lacking.join(" and ")));
    }
    let who: Vec<_> = WHO.into_iter().filter(|&who| is_there(bench, who)).collect();
    bench.report.note(
        "Crawlers: tokio's uses reqwest and the tokenizer of sinbin's, without robots.txt, limits, state and results \
         (`tests/twins/src/tokio/crawler.rs`); aiohttp's finds links by a regular expression; wget2 writes nothing.",
    );
    let name = "crawl of python3-doc, one core";
    let mut rate = Figure::new(format!("{name}: files/s"), View::RatioTo(Who::Tokio));
    for other in [Who::Tokio, Who::Wget, Who::Aiohttp] {
        rate = rate.at_least(Who::Sinbin, 1.5, other);
    }
    rate = rate.at_least(Who::Driven, 0.7, Who::Sinbin);
    let cpu = Figure::new(format!("{name}: CPU a file, µs"), View::RatioTo(Who::Tokio));
    let mut figures = [
        rate,
        cpu.at_most_of(Who::Sinbin, 0.7, Who::Tokio),
        Figure::new(format!("{name}: files fetched"), View::Detail),
    ];
    for round in 0..bench.plan.rounds() {
        bench.round(&who, round, &mut figures, crawl);
    }
    bench.report.figures.extend(figures);
}

/// Returns true if a crawler is installed, and notes it otherwise.
fn is_there(bench: &mut Bench, who: Who) -> bool {
    let lacking = match who {
        Who::Wget if !programs::missing(&["wget2"]).is_empty() => "wget2",
        Who::Aiohttp if !has_aiohttp() => "Python's module aiohttp",
        _ => return true,
    };
    bench.report.note(format!("Not compared, since it is not installed: {lacking}."));
    false
}

fn has_aiohttp() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import aiohttp"]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// Crawls the site once. Returns the files a second, the CPU time of each in microseconds, and their number.
fn crawl(bench: &mut Bench, who: Who) -> io::Result<Cell> {
    let server = nginx::start(bench.machine.load_core, Path::new(SITE), Log::Uris)?;
    let mut crawler = crawler(bench, who, server.address)?;
    let before = cpu::of_children()?;
    let start = Instant::now();
    let status = crawler.status()?;
    let (took, cpu) = (start.elapsed(), cpu::of_children()? - before);
    // Some links of the site are broken, which wget2 tells.
    if !status.success() && (who != Who::Wget || status.code() != Some(WGET_BROKEN_LINKS)) {
        return Err(io::Error::other(format!("the crawler failed: {status}")));
    }
    let files = nginx::requests()?.into_iter().filter(|(status, _)| status == "200");
    let files = files.map(|(_, uri)| uri).collect::<BTreeSet<_>>().len() as f64;
    Ok(Cell::of([files / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / files, files]))
}

fn crawler(bench: &Bench, who: Who, address: SocketAddr) -> io::Result<Command> {
    let url = format!("http://{address}/{FIRST}");
    let start = |program: &Path| machine::command(Some(bench.machine.server_core), program);
    let mut command = match who {
        Who::Sinbin => {
            let mut command = start(&bench.programs.sinbin)?;
            command.args(["crawl", "--json", "--per-host", CONCURRENCY, &url]);
            command
        }
        Who::Driven => {
            let mut command = start(&bench.programs.sandbox.command)?;
            command.arg("run").arg(programs::wasm("crawl")).args(["--allow-connect", &address.to_string()]);
            command.args(["--", "--per-host", CONCURRENCY, &url]).env("SINBIN_WASI_CACHE", programs::cache());
            command
        }
        Who::Tokio => {
            let mut command = start(&bench.programs.services.twins)?;
            command.args(["tokio", "crawler", &url, CONCURRENCY]);
            command
        }
        Who::Wget => {
            let mut command = start("wget2".as_ref())?;
            command.args(["--quiet", "--recursive", "--level=inf", "--output-document=/dev/null"]);
            command.arg(format!("--max-threads={CONCURRENCY}")).arg(url);
            command
        }
        Who::Aiohttp => {
            let mut command = start("python3".as_ref())?;
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/peers/crawler.py");
            command.arg(script).args([&url, CONCURRENCY]);
            command
        }
        _ => return Err(programs::no_crawler(who)),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).env("SINBIN_LOG", "error");
    Ok(command)
}
