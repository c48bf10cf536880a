//! The crawlers of the tutorials: seven ways to wait, on one site. `just crawl` compares them.
//!
//! ```text
//! crawl [compare [MILLISECONDS]]           serves a site, runs all ways, and prints a table
//! crawl WAY [--concurrency N] URL...       fetches pages and those that they link to
//! crawl serve [ADDRESS [MILLISECONDS]]     serves the site, whose pages take that time
//! ```
//!
//! Each way has a file, and has the same result. Read them in this order: `blocking`, `threads`, `callbacks`, `generator`,
//! `future`, `delegating`, `async_fn`. They share the state of a crawl (`crawl.rs`), and the next four a loop
//! (`event_loop.rs`, with functions registered for sockets in `selector.rs`).

mod async_fn;
mod blocking;
mod callbacks;
mod compare;
mod crawl;
mod delegating;
mod error;
mod event_loop;
mod future;
mod generator;
mod response;
mod selector;
mod site;
mod threads;

use std::env;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crawl::{Crawl, MAX_OPEN};
use error::Error;
use sinbin::MainError;
use site::Load;

/// A way to wait.
struct Way {
    name: &'static str,
    crawl: fn(Crawl) -> Result<Crawl, Error>,
    /// The text of its file.
    source: &'static str,
}

macro_rules! way {
    ($name:literal, $module:ident) => {
        Way { name: $name, crawl: $module::crawl, source: include_str!(concat!(stringify!($module), ".rs")) }
    };
}

const WAYS: [Way; 7] = [
    way!("blocking", blocking),
    way!("threads", threads),
    way!("callbacks", callbacks),
    way!("generator", generator),
    way!("future", future),
    way!("delegating", delegating),
    way!("async", async_fn),
];

const USAGE: &str = "usage: crawl [compare [MILLISECONDS]]\n       \
    crawl blocking|threads|callbacks|generator|future|delegating|async [--concurrency N] URL...\n       \
    crawl serve [ADDRESS [MILLISECONDS]]";

/// The time that a page takes by default.
const DELAY: Duration = Duration::from_millis(100);

fn main() -> Result<ExitCode, MainError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        [] => compare::all(DELAY),
        ["compare"] => compare::all(DELAY),
        ["compare", delay] => compare::all(milliseconds(delay)?),
        ["serve"] => serve("127.0.0.1:8080", DELAY),
        ["serve", address] => serve(address, DELAY),
        ["serve", address, delay] => serve(address, milliseconds(delay)?),
        [name, "--concurrency", max_open, urls @ ..] => run(name, max_open.parse()?, urls),
        [name, urls @ ..] => run(name, MAX_OPEN, urls),
    }
}

fn milliseconds(text: &str) -> Result<Duration, MainError> {
    Ok(Duration::from_millis(text.parse()?))
}

fn serve(address: &str, delay: Duration) -> Result<ExitCode, MainError> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    site::serve(listener, delay, &Load::default())?;
    Ok(ExitCode::SUCCESS)
}

/// Crawls in one of the ways. Prints the pages to stdout, and the time that they took to stderr.
fn run(name: &str, max_open: usize, urls: &[&str]) -> Result<ExitCode, MainError> {
    let way = WAYS.iter().find(|way| way.name == name).filter(|_| !urls.is_empty() && max_open > 0);
    let way = way.ok_or(USAGE)?;
    let crawl = Crawl::new(urls, max_open).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let crawl = (way.crawl)(crawl).map_err(|error| error.to_string())?;
    eprintln!("{:.3} s", begin.elapsed().as_secs_f64());
    print!("{crawl}");
    Ok(if crawl.has_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
