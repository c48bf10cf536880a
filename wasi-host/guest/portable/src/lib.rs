//! Services of sinbin as ordinary WASI 0.2 commands, for hosts that know nothing of it.
//!
//! [`Portable`] is a host of `sinbin-core` on `wasi:sockets`, `wasi:io/poll` and `wasi:clocks`; [`command`] is all
//! that a `main` needs. Any service that asks for no more than jobs runs so.
//!
//! WASI has no way to say that both directions of a connection have ended. Nothing is ever ready for a hangup here, so a job
//! runs to its end when its client has gone.

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

use std::io::{Write, stderr};
use std::process::ExitCode;

use sinbin_core::{Instant, Service, Task};
use wasi::cli::stdout::get_stdout;
use wasi::clocks::monotonic_clock;

pub use host::{Portable, PortableTask};

use crate::options::{OPTIONS, Options};
use crate::server::{Ended, serve};

/// The exit code when connections had to be cut. Hosts before WASI 0.2.12 know but 0 and 1.
const CUT: u8 = 1;

/// The whole of a guest's `main`: serves what `make` makes of the arguments that the loop itself does not take.
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
            complain(&format!("the time to drain was over; connections cut: {count}"));
            ExitCode::from(CUT)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &str) -> ExitCode {
    complain(&format!("error: {error}"));
    ExitCode::FAILURE
}

/// Says a line on stdout, if there is room for it: a host that takes none is no reason not to serve.
fn say(line: &str) {
    let text = format!("{line}\n");
    let out = get_stdout();
    if out.check_write().is_ok_and(|room| room >= text.len() as u64) {
        out.blocking_write_and_flush(text.as_bytes()).ok();
    }
}

/// Says a line on stderr, before the guest ends.
fn complain(line: &str) {
    writeln!(stderr(), "{line}").ok();
}

/// The time, as the kernel takes it.
fn now() -> Instant {
    Instant::from_nanos(monotonic_clock::now())
}
