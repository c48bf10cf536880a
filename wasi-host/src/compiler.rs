//! Validation and compilation of components within limits. Both run in a separate process, which is killed if it
//! exceeds a limit of time or memory.
//!
//! A file of less than a megabyte can take the compiler minutes and much memory. A file of 35 KB can have types that
//! take a gigabyte to validate. Wasmtime offers no way to interrupt either.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use crate::engine::engine_for;
use crate::precompiled::Code;
use crate::world::{World, Wrong};

/// The first byte of a process's input: compile the component that follows.
const COMPILE: u8 = b'c';

/// The first byte of a process's input: validate the component that follows, without compiling it.
const EXAMINE: u8 = b'e';

/// The exit code of a process whose input was not a valid component.
const INVALID: u8 = 1;

/// The exit code of a process whose input was a component that this host can't run.
const FOREIGN: u8 = 3;

/// The default limit on the time to compile a component.
pub const MAX_TIME: Duration = Duration::from_secs(10);

/// The default limit on the memory to compile a component with, in bytes.
pub const MAX_MEMORY: u64 = 512 << 20;

/// A way to compile guests: in this process without limits, or in a separate process with limits.
#[derive(Clone, Debug)]
pub struct Compiler(Option<Apart>);

/// A program that compiles in a separate process.
#[derive(Clone, Debug)]
struct Apart {
    program: PathBuf,
    arguments: Vec<OsString>,
    max_time: Duration,
    max_memory: u64,
}

/// The reason why a guest was not compiled.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wasmtime found that the bytes are not a valid component.
    Invalid(wasmtime::Error),
    /// This host can't run the component.
    World(String),
    /// The process could not be started, or communication with it failed.
    System(io::Error),
    /// Compilation took longer than this limit.
    Time(Duration),
    /// The process ended with this status, probably because it exceeded this limit on its memory, in bytes.
    Memory(u64, ExitStatus),
}

impl Compiler {
    /// Creates a compiler that works in this process, without a limit of time or memory. Use it for trusted guests
    /// only.
    #[must_use]
    pub fn here() -> Self {
        Self(None)
    }

    /// Creates a compiler that starts a separate process, with the limits [`MAX_TIME`] and [`MAX_MEMORY`].
    ///
    /// # Safety
    ///
    /// The output of the program is run as machine code. The caller must trust `program`. The host starts it with
    /// `arguments`, followed by the limit of memory in bytes. The program must call [`work`] with this limit and with
    /// an engine that is configured like the engine of this process, and must write nothing else to its stdout.
    #[must_use]
    pub unsafe fn apart(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self(Some(Apart { program, arguments, max_time: MAX_TIME, max_memory: MAX_MEMORY }))
    }

    /// Sets the limits. A compiler that works in this process ignores them.
    #[must_use]
    pub fn limits(self, max_time: Duration, max_memory: u64) -> Self {
        Self(self.0.map(|apart| Apart { max_time, max_memory, ..apart }))
    }

    /// Compiles a component, after checking that this host can run it.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Code, Failure> {
        match &self.0 {
            None => compile(engine, wasm),
            // SAFETY: the caller of `apart` guarantees that the program writes nothing but compiled code to its stdout.
            // The process has ended with code 0, and this is its whole output.
            Some(apart) => apart.ask(COMPILE, wasm).map(|output| unsafe { Code::trust(output) }),
        }
    }

    /// Validates a component, and checks that this host can run it, without compiling it.
    pub(crate) fn examine(&self, engine: &Engine, wasm: &[u8]) -> Result<(), Failure> {
        match &self.0 {
            None => examine(engine, wasm),
            Some(apart) => apart.ask(EXAMINE, wasm).map(drop),
        }
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Invalid(error) => Self::Invalid(error.into()),
            Wrong::World(what) => Self::World(what),
        }
    }
}

fn compile(engine: &Engine, wasm: &[u8]) -> Result<Code, Failure> {
    // A guest that this host can't run is rejected before it is compiled.
    let world = World::of_wasm(wasm)?;
    world.check(engine, wasm)?;
    let engine = engine_for(&world, engine).map_err(Failure::World)?;
    Code::compile(&engine, wasm).map_err(Failure::Invalid)
}

fn examine(engine: &Engine, wasm: &[u8]) -> Result<(), Failure> {
    Ok(World::of_valid_wasm(wasm)?.check(engine, wasm)?)
}

impl Apart {
    /// Starts a process, passes it the request `what` and a component, and returns its output.
    fn ask(&self, what: u8, wasm: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(self.max_memory.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Failure::System)?;
        let output = self.talk(&mut child, what, wasm);
        if output.is_err() {
            child.kill().ok();
        }
        let status = child.wait().map_err(Failure::System)?;
        let output = output?;
        let text = || String::from_utf8_lossy(&output).into_owned();
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(0) => Ok(output),
            Some(INVALID) => Err(Failure::Invalid(wasmtime::Error::msg(text()))),
            Some(FOREIGN) => Err(Failure::World(text())),
            _ => Err(Failure::Memory(self.max_memory, status)),
        }
    }

    /// Writes the input of the process and reads its output, within the limit of time. After an error, the process may
    /// still be running.
    fn talk(&self, child: &mut Child, what: u8, wasm: &[u8]) -> Result<Vec<u8>, Failure> {
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::System(io::ErrorKind::BrokenPipe.into()));
        };
        let max = self.max_memory;
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            let talking = thread::Builder::new().spawn_scoped(scope, move || {
                sender.send(exchange(input, output, what, wasm, max)).ok();
            });
            talking.map_err(Failure::System)?;
            match receiver.recv_timeout(self.max_time) {
                Ok(output) => output.map_err(Failure::System),
                Err(_) => {
                    // Otherwise the thread would not end, and the scope would wait for it.
                    child.kill().ok();
                    Err(Failure::Time(self.max_time))
                }
            }
        })
    }
}

/// Writes the whole input, then reads the whole output. This can't deadlock, since the process reads all of its input
/// before it writes.
fn exchange(
    mut input: ChildStdin,
    output: ChildStdout,
    what: u8,
    wasm: &[u8],
    max: u64,
) -> io::Result<Vec<u8>> {
    // If the process has ended, the write fails. The caller reports the exit status, which says more than this error.
    input.write_all(&[what]).and_then(|()| input.write_all(wasm)).ok();
    drop(input);
    let mut bytes = Vec::new();
    output.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Validates or compiles the component on stdin, with at most `max_memory` bytes of memory, and writes the result to
/// stdout. This is the whole work of a process that [`Compiler::apart`] starts.
///
/// Returns exit code 0 if it succeeds; after compiling, the machine code is then on stdout. Returns 1 if the component
/// is invalid and 3 if this host can't run it; the reason is then on stdout. Returns 2 if stdin or stdout fails or the
/// limits can't be set.
pub fn work(engine: &Engine, max_memory: u64) -> ExitCode {
    let (bytes, code) = match limit(max_memory).and_then(|()| asked()) {
        Ok((EXAMINE, wasm)) => ended(examine(engine, &wasm).map(|()| Vec::new())),
        Ok((_, wasm)) => ended(compile(engine, &wasm).map(|code| code.bytes().to_vec())),
        Err(_) => return 2.into(),
    };
    match io::stdout().lock().write_all(&bytes) {
        Ok(()) => code.into(),
        Err(_) => 2.into(),
    }
}

/// Reads the request and the bytes of the component.
fn asked() -> io::Result<(u8, Vec<u8>)> {
    let mut stdin = io::stdin().lock();
    let (mut what, mut wasm) = ([0], Vec::new());
    stdin.read_exact(&mut what)?;
    stdin.read_to_end(&mut wasm)?;
    Ok((what[0], wasm))
}

/// Returns the bytes for stdout, and the exit code.
fn ended(result: Result<Vec<u8>, Failure>) -> (Vec<u8>, u8) {
    match result {
        Ok(bytes) => (bytes, 0),
        Err(Failure::World(what)) => (what.into_bytes(), FOREIGN),
        Err(Failure::Invalid(error)) => (format!("{error:#}").into_bytes(), INVALID),
        // Only a compiler that uses a separate process returns these.
        Err(Failure::System(_) | Failure::Time(_) | Failure::Memory(..)) => (Vec::new(), 2),
    }
}

/// Sets the limits of this process, which does nothing but compile.
#[cfg(unix)]
fn limit(max_memory: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = |resource, most: u64| {
        // Only root may raise a limit, so the new limit is at most the present one.
        let before = getrlimit(resource);
        let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        setrlimit(resource, Rlimit { current: least(before.current), maximum: least(before.maximum) })
    };
    // On Linux, RLIMIT_DATA counts private writable memory. Elsewhere only the address space can be limited.
    limit(if cfg!(target_os = "linux") { Resource::Data } else { Resource::As }, max_memory)?;
    limit(Resource::Core, 0)?;
    // If the parent is killed, it can no longer enforce the limit of time.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: u64) -> io::Result<()> {
    Ok(())
}
