//! Services of sinbin as ordinary WASI 0.2 commands, for hosts without support for sinbin.
//!
//! [`Portable`] is a host of `sinbin-core` on `wasi:sockets`, `wasi:io/poll` and `wasi:clocks`. [`command`] implements
//! the whole `main` of a guest. Any service that needs no more than connections and jobs can run on this host.
//!
//! WASI does not report that both directions of a connection have ended. This host therefore never reports a hangup,
//! and a job runs to its end even if its client is gone.

#![deny(clippy::print_stderr, clippy::print_stdout)]
#![forbid(unsafe_code)]

mod address;
mod connection;
mod host;
mod listener;
mod options;
mod platform;
mod poller;
mod server;
mod sockets;
mod stdin;
mod values;

use std::io::{Write, stderr};
use std::process::ExitCode;

use sinbin_core::{Instant, Service, Task};
use wasi::cli::stdout::get_stdout;
use wasi::clocks::monotonic_clock;

pub use host::{Portable, PortableTask};

use crate::options::{OPTIONS, Options};
use crate::server::{Ended, serve};

/// The exit code if the drain timeout expired and connections were closed. Hosts before WASI 0.2.12 support only 0 and
/// 1.
const CUT: u8 = 1;

/// Implements a guest's `main`: serves the service that `make` creates from the arguments that are not options of the
/// loop.
pub fn command<S>(make: impl FnOnce(&mut dyn Iterator<Item = &str>) -> Result<S, String>) -> ExitCode
where
    S: Service<Conn: Task<Portable<S>>>,
{
    let arguments = std::env::args().skip(1);
    let (options, service) = match Options::read(arguments).and_then(|(options, rest)| {
        let service = make(&mut rest.iter().map(String::as_str))?;
        Ok((options, service))
    }) {
        Ok(made) => made,
        Err(error) => return failed(&format!("{error}\nOptions of the loop itself: {OPTIONS}")),
    };
    match serve(service, &options) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Cut(count)) => {
            complain(&format!("the drain timeout expired; connections cut: {count}"));
            ExitCode::from(CUT)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &str) -> ExitCode {
    complain(&format!("error: {error}"));
    ExitCode::FAILURE
}

/// Prints a line to stdout if the host can accept it at once. Otherwise drops the line, and the server continues.
fn say(line: &str) {
    let text = format!("{line}\n");
    let out = get_stdout();
    if out.check_write().is_ok_and(|room| room >= text.len() as u64) {
        out.blocking_write_and_flush(text.as_bytes()).ok();
    }
}

/// Prints a line to stderr, before the guest ends.
fn complain(line: &str) {
    writeln!(stderr(), "{line}").ok();
}

/// Returns the current time as an instant of the kernel.
fn now() -> Instant {
    Instant::from_nanos(monotonic_clock::now())
}
