//! The errors of a host as a whole. An error of a running guest is a fault instead: the host reports it, and replaces
//! the guest.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use sinbin::guests::Fault;
use wasmtime::WasmCoreDump;

use crate::instance::ANSWER;
use crate::names::Names;
use crate::panic::Panicked;

/// Returns the causes of a guest's error, one per line. The innermost cause comes first, since it names the problem.
/// The guest's stack comes last, since the guest determines its length.
pub(crate) fn report(error: &wasmtime::Error) -> String {
    // The description of a core dump is not for people, and a guest can make it very long.
    let dump = error.is::<WasmCoreDump>().then(|| usize::from(error.is::<Panicked>()));
    let causes = error.chain().enumerate().filter(|(index, _)| dump != Some(*index));
    let mut causes: Vec<_> = causes.map(|(_, cause)| cause.to_string().trim_end().to_owned()).collect();
    causes.reverse();
    // A panic is the cause of its trap.
    if error.is::<Panicked>() {
        causes.rotate_right(1);
    }
    causes.join("\n")
}

/// Converts the error of a call to a driven guest into a fault, with the `names` of the guest's functions.
pub(crate) fn fault(error: &wasmtime::Error, names: &Names) -> Fault {
    let report = names.insert_into(report(error));
    // Wasmtime's message for a guest that returns more bytes than the limit allows.
    if report.contains("fuel allocated for hostcalls has been exhausted") {
        return Fault(format!("it returned more than {} MiB in one call", ANSWER >> 20));
    }
    Fault(report)
}

/// The reason why a guest can't be run.
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
    /// The file does not contain a component.
    #[error("{} is {found}; {advice}", .path.display())]
    NoComponent {
        /// The file.
        path: PathBuf,
        /// The apparent type of the file.
        found: &'static str,
        /// The advice for the user.
        advice: &'static str,
    },
    /// The file exceeds the limit on its size.
    #[error("{} is larger than {limit} bytes, the limit on a guest's file; --max-guest-size allows more", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The file contains machine code, and the caller has not allowed machine code.
    #[error(
        "{} is already compiled: it is machine code, which runs outside the sandbox, with all your rights; give the .wasm \
         file instead, or, if you compiled this file yourself, pass --allow-precompiled to `run` or `replay`",
        .path.display()
    )]
    Precompiled {
        /// The file.
        path: PathBuf,
    },
    /// The file does not contain a valid component.
    #[error("{} is not a valid component: {what}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The validation error, and its offset.
        what: String,
    },
    /// The component can't be compiled.
    #[error("cannot compile {}: {error:#}", .path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// Wasmtime's error.
        error: wasmtime::Error,
    },
    /// The process that compiles the component can't be started, or communication with it failed.
    #[error(
        "cannot compile {}: the separate process for it failed: {error}; a guest that you trust can be compiled in this \
         process, without limits, by --compile-timeout off",
        .path.display()
    )]
    Compiler {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The compilation of the component exceeded the limit of time.
    #[error(
        "cannot compile {} within {limit:?}; if you trust it, or if this machine is slow, --compile-timeout allows more",
        .path.display()
    )]
    CompileTime {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The compilation of the component probably exceeded the limit of memory.
    #[error(
        "cannot compile {}: the process that compiled it ended with {status}, probably because it needed more than \
         {limit} MiB of memory; --compile-memory allows more",
        .path.display()
    )]
    CompileMemory {
        /// The file.
        path: PathBuf,
        /// The limit, in MiB.
        limit: u64,
        /// The exit status of the process.
        status: ExitStatus,
    },
    /// This host can't run the component: it is neither a service nor a command, or its imports are not available.
    #[error("cannot run {}: {what}", .path.display())]
    World {
        /// The file.
        path: PathBuf,
        /// The missing or unknown import or export.
        what: String,
    },
    /// The engine can't be created.
    #[error("cannot create the wasmtime engine: {0:#}")]
    Engine(wasmtime::Error),
    /// The guest did not start.
    #[error("the guest cannot be started: {0}")]
    Start(String),
    /// The guest rejected its arguments.
    #[error("the guest refuses its arguments: {0}")]
    Arguments(String),
    /// The loop could not be created, or failed.
    #[error(transparent)]
    Loop(#[from] sinbin::Error),
    /// The timer that limits turns can't be started.
    #[error("cannot limit the time of a turn to {limit:?}: {error}")]
    TurnLimit {
        /// The limit.
        limit: Duration,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}
