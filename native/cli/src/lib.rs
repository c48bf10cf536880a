//! The parts that the commands `sinbin` and `sinbin-wasi` share: arguments, log, output, signals. This is not a stable
//! API: it changes with the two commands.

#![deny(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)]

use std::env;
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::stream::ERR;

pub mod address;
pub mod arguments;
pub mod descriptors;
#[cfg(feature = "tls")]
pub mod encryption;
pub mod log;
pub mod manual;
pub mod output;
mod panics;
pub mod perfetto;
pub mod replay;
pub mod serving;
pub mod signals;
pub mod size;
pub mod span;
pub mod stream;

/// Prints an error message to stderr, after the command's name. Control characters in the message are escaped, since a
/// guest or a file may determine a part of it.
pub fn complain(what: impl Display) {
    // If the message can't be written, the exit code still reports the failure.
    ERR.offer(format!("{}{}\n", name(), log::lines_escaped(&what)).as_bytes()).ok();
}

/// Returns the prefix of the messages: the name by which the program was called.
fn name() -> String {
    let program = env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(Path::file_stem);
    name.map(|name| format!("{}: ", name.display())).unwrap_or_default()
}

/// Returns the value of an environment variable, or `None` if it is unset or empty.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns true if output to the stream is coloured: it is a terminal that supports colours, and `NO_COLOR` is not set.
#[must_use]
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_dumb() && variable("NO_COLOR").is_none()
}

/// Returns true if the terminal of this process, if there is one, can't move its cursor.
#[must_use]
pub fn is_dumb() -> bool {
    variable("TERM").is_none_or(|terminal| terminal == "dumb")
}
