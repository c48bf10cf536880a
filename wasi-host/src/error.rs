//! What can go wrong with a host as a whole. What goes wrong with a guest while it runs is a fault: it is reported, and
//! the guest is replaced.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use sinbin::guests::Fault;

use crate::instance::ANSWER;

/// Returns what went wrong in a guest, cause by cause. The last cause says what, and comes first; the stack of the guest's
/// functions is as long as they like, and comes last.
pub(crate) fn report(error: &wasmtime::Error) -> String {
    let mut causes: Vec<_> = error.chain().map(|cause| cause.to_string().trim_end().to_owned()).collect();
    causes.reverse();
    causes.join("\n")
}

/// Returns what went wrong in a call of a driven guest.
pub(crate) fn fault(error: &wasmtime::Error) -> Fault {
    let report = report(error);
    // The words of wasmtime about a guest that hands over more than it may.
    if report.contains("fuel allocated for hostcalls has been exhausted") {
        return Fault(format!("it answers with more than {} MiB at once", ANSWER >> 20));
    }
    Fault(report)
}

/// Why a guest can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// A file can't be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The file holds something else than a component.
    #[error("{} is {found}; {advice}", .path.display())]
    NoComponent {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file has more bytes than it may have.
    #[error("{} has more than {limit} bytes, which is the most that a guest may have; --max-guest-size allows more", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that it may have.
        limit: u64,
    },
    /// The file holds machine code, which is not run unless it is asked for.
    #[error(
        "{} is compiled already: it is machine code, which runs outside of the sandbox, with all your rights; it is refused \
         unless you compiled it yourself and say --allow-precompiled (to `run` or `replay`); give the .wasm otherwise",
        .path.display()
    )]
    Precompiled {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no valid component.
    #[error("{} is no valid component: {what}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The fault, and where it is.
        what: String,
    },
    /// The component can't be compiled.
    #[error("cannot compile {}: {error:#}", .path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// What wasmtime says.
        error: wasmtime::Error,
    },
    /// There is no process to compile the component in.
    #[error(
        "cannot compile {}: there is no process to do it in: {error}; a guest that you trust can be compiled without one, and \
         without limits, by --compile-timeout off",
        .path.display()
    )]
    Compiler {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The component takes too long to compile.
    #[error(
        "{} is not compiled within {limit:?}, and refused; if you trust it, or this machine is slow, --compile-timeout \
         allows more",
        .path.display()
    )]
    CompileTime {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The component takes too much memory to compile.
    #[error(
        "{} is refused: the process that compiled it ended by {status}, as one does that wants more memory than it may \
         have, which is {limit} MiB; --compile-memory allows more",
        .path.display()
    )]
    CompileMemory {
        /// The file.
        path: PathBuf,
        /// The limit, in MiB.
        limit: u64,
        /// How the process ended.
        status: ExitStatus,
    },
    /// The component is no service and no command.
    #[error("{} is a component of another world: {what}", .path.display())]
    World {
        /// The file.
        path: PathBuf,
        /// What is missing, or too much.
        what: String,
    },
    /// The engine can't be had.
    #[error("wasmtime cannot be set up: {0:#}")]
    Engine(wasmtime::Error),
    /// The guest did not start.
    #[error("the guest cannot be started: {0}")]
    Start(String),
    /// The guest refused its arguments.
    #[error("the guest refuses its arguments: {0}")]
    Arguments(String),
    /// The loop could not be set up, or failed.
    #[error(transparent)]
    Loop(#[from] sinbin::Error),
    /// Turns can't be limited here.
    #[error("cannot limit the time of a turn to {limit:?}: {error}")]
    TurnLimit {
        /// The limit.
        limit: Duration,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}
