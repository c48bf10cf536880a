//! What goes to stdout.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

/// Prints a line at once. Whether somebody reads that.
pub fn line(text: impl Display) -> bool {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            eprintln!("cannot write to stdout: {error}");
            std::process::exit(1);
        }
    }
}

/// Prints a line of a program that is there to print. When nobody reads any more (as behind `| head`), it ends.
pub fn line_or_end(text: impl Display) {
    if !line(text) {
        std::process::exit(0);
    }
}
