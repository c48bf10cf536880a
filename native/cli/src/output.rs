//! What goes to stdout.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::exit;

use crate::stream::{ERR, OUT};

/// Prints a line of a server. A line that can't be written is dropped, and the log says so: clients are served all the
/// same.
pub fn say(text: impl Display) {
    match OUT.offer(format!("{text}\n").as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            tracing::debug!(line = %text, "nobody reads stdout any more");
        }
        Err(error) => tracing::warn!(line = %text, %error, "cannot write to stdout"),
    }
}

/// Prints where a server listens that was to listen at `asked`.
///
/// # Errors
///
/// When the system chose the port and stdout takes nothing: nobody would ever find the server.
pub fn listening(asked: SocketAddr, bound: SocketAddr) -> Result<(), String> {
    let line = format!("listening on {bound}");
    if asked.port() != 0 {
        say(line);
        return Ok(());
    }
    match OUT.offer(format!("{line}\n").as_bytes()) {
        // A reader that has gone away does not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints a line at once, and waits until there is room for it. Returns false if nobody reads it.
///
/// # Errors
///
/// When stdout takes nothing, and not because nobody reads it any more.
pub fn try_line(text: impl Display) -> io::Result<bool> {
    match OUT.write_all(format!("{text}\n").as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Prints a line of a program that is there to print. When nobody reads any more (as behind `| head`), it ends; when stdout
/// takes nothing for another reason, it says so and fails.
pub fn line_or_end(text: impl Display) {
    match try_line(text) {
        Ok(true) => {}
        Ok(false) => exit(0),
        Err(error) => {
            super::complain(format_args!("cannot write to stdout: {error}"));
            exit(1);
        }
    }
}

/// Lines of log that are lost, at the end of a summary; nothing if there are none.
pub struct Lost;

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ERR.lost() {
            0 => Ok(()),
            lost => write!(f, "; {lost} lines of log lost"),
        }
    }
}
