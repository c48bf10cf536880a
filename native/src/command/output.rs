//! What goes to stdout.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};

/// Prints a line at once. Whether somebody reads that. When stdout takes nothing for another reason, the process ends.
pub fn line(text: impl Display) -> bool {
    try_line(text).unwrap_or_else(|error| {
        eprintln!("{}cannot write to stdout: {error}", name());
        std::process::exit(1);
    })
}

/// Prints a line at once. Whether somebody reads that.
///
/// # Errors
///
/// When stdout takes nothing, and not because nobody reads it any more.
pub fn try_line(text: impl Display) -> io::Result<bool> {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// The program, as it was called, before what it has to say.
fn name() -> String {
    let program = std::env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(Path::file_stem);
    name.map(|name| format!("{}: ", name.display())).unwrap_or_default()
}

/// Prints a line of a program that is there to print. When nobody reads any more (as behind `| head`), it ends.
pub fn line_or_end(text: impl Display) {
    if !line(text) {
        std::process::exit(0);
    }
}
