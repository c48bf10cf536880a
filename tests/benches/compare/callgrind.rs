//! Instruction counts by callgrind. It counts the instructions of a program, but not those of the system, so noise does
//! not affect the count.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::machine;

/// Returns the reason if callgrind is not available.
pub(crate) fn missing() -> Option<String> {
    let status = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    status.err().map(|error| format!("valgrind: {error}"))
}

/// Returns the command that runs `program` under callgrind; arguments can be appended.
pub(crate) fn command(core: Option<usize>, program: &Path) -> io::Result<Command> {
    let mut command = machine::command(core, Path::new("valgrind"))?;
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    Ok(command)
}

/// Parses the count from callgrind's stderr.
pub(crate) fn collected(text: &str) -> io::Result<f64> {
    let count = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.ok_or_else(|| io::Error::other(format!("callgrind failed: {text}")))
}
