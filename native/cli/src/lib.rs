//! The parts that the commands `sinbin` and `sinbin-wasi` share: arguments, log, output, signals. They are for these two alone,
//! and change with them.

#![deny(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)]

use std::env;
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::stream::ERR;

pub mod arguments;
pub mod descriptors;
pub mod log;
pub mod output;
mod panics;
pub mod replay;
pub mod serving;
pub mod signals;
pub mod span;
pub mod stream;

/// Says on stderr what went wrong, in the command's name. What a guest or a file has said of it is escaped.
pub fn complain(what: impl Display) {
    // If that can't be said either, the exit code says it.
    ERR.offer(format!("{}{}\n", name(), log::lines_escaped(&what)).as_bytes()).ok();
}

/// Returns the program's name as it was called, which goes before its messages.
fn name() -> String {
    let program = env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(Path::file_stem);
    name.map(|name| format!("{}: ", name.display())).unwrap_or_default()
}

/// Returns the value of a variable of the environment. One that is set to nothing is not set.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns true if the stream may have colours: it is a terminal that knows some, and nobody has refused them.
fn is_coloured(stream: &impl IsTerminal) -> bool {
    let is_dumb = variable("TERM").is_none_or(|terminal| terminal == "dumb");
    stream.is_terminal() && !is_dumb && variable("NO_COLOR").is_none()
}
