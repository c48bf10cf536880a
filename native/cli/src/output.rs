//! Output to stdout.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind};
use std::process::exit;

use crate::stream::{ERR, OUT};
use sinbin::Place;

/// Prints a line of a server without blocking. If the line can't be written, it is dropped and logged, and the server
/// continues to serve.
pub fn say(text: impl Display) {
    match OUT.offer(format!("{text}\n").as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            tracing::debug!(line = %text, "cannot write to stdout: its reader has closed it");
        }
        Err(error) => tracing::warn!(line = %text, %error, "cannot write to stdout"),
    }
}

/// Prints the place `bound` of a server that was asked to listen at `asked`.
///
/// # Errors
///
/// Fails if the line can't be written and the system chose the port, since no client could find the server then.
pub fn listening(asked: &Place, bound: &Place) -> Result<(), String> {
    say_place(format!("listening on {bound}"), asked)
}

/// Prints a place as [`listening`] does, of a guest that is one of several.
///
/// # Errors
///
/// Fails as `listening` does.
pub fn guest_listening(guest: &str, asked: &Place, bound: &Place) -> Result<(), String> {
    say_place(format!("listening on {bound} ({guest})"), asked)
}

/// Prints the line, which must be read if the system chose the port.
fn say_place(line: String, asked: &Place) -> Result<(), String> {
    let is_chosen = matches!(asked, Place::Address(address) if address.port() == 0);
    if !is_chosen {
        say(line);
        return Ok(());
    }
    match OUT.offer(format!("{line}\n").as_bytes()) {
        // A reader that has closed its end of stdout does not need the address.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints a line, and blocks until it is written. Returns false if the reader has closed its end of stdout.
///
/// # Errors
///
/// Fails if the line can't be written for another reason.
pub fn try_line(text: impl Display) -> io::Result<bool> {
    match OUT.write_all(format!("{text}\n").as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Prints a line of a program whose output is its purpose. If the reader has closed its end of stdout (as `| head`
/// does), the process ends with code 0. If the line can't be written for another reason, the process reports that, and
/// ends with code 1.
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

/// The number of lost lines of the log, for the end of a summary. Writes nothing if no line is lost.
pub struct Lost;

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ERR.lost() {
            0 => Ok(()),
            lost => write!(f, "; {lost} log lines lost"),
        }
    }
}
