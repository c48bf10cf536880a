//! What goes to stdout.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

/// Prints a line at once. When nobody reads any more (as behind `| head`), the process ends.
pub(crate) fn line(text: impl Display) {
    let mut out = stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("sinbin: cannot write to stdout: {error}");
        std::process::exit(1);
    }
}
