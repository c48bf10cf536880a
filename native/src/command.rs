//! What the commands of this project have in common, `sinbin` and `sinbin-wasi`. Not for others: it changes as they do.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::{env, io};

use tracing_subscriber::filter::LevelFilter;

use crate::command::stream::{ERR, Lossy};

pub mod arguments;
pub mod descriptors;
pub mod output;
mod panics;
pub mod replay;
pub mod serving;
pub mod signals;
pub mod span;
pub mod stream;

/// The levels of `--log`, from the least that is told to the most.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// Sends logs to stderr, and leaves stdout to the command's output. An unknown `level` is reported, and ends the
/// process as other wrong arguments do, with code 2.
pub fn log(level: &str) {
    let Some((_, filter)) = LEVELS.iter().find(|(known, _)| *known == level) else {
        complain(format_args!(
            "--log (or SINBIN_LOG) {level:?}: there is no such level; it takes error, warn, info, debug, trace or off"
        ));
        std::process::exit(2);
    };
    tracing_subscriber::fmt()
        .with_max_level(*filter)
        .with_writer(|| Lossy(&ERR))
        // The subscriber would report its own errors on stderr, and panic where that fails.
        .log_internal_errors(false)
        .with_ansi(is_coloured(&io::stderr()))
        .with_target(false)
        .init();
}

/// Says on stderr what went wrong, in the command's name.
pub fn complain(what: impl Display) {
    // Where that can't be said either, the exit code says it.
    ERR.offer(format!("{}{what}\n", name()).as_bytes()).ok();
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
