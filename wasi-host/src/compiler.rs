//! Examining and compiling within limits: in a process of its own, which is ended where it takes too long or wants too
//! much.
//!
//! A file of less than a megabyte can take a compiler minutes and much memory, and one of 35 KB can have types that take a
//! gigabyte to look at; nothing in wasmtime stops that halfway.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

use crate::precompiled::Code;
use crate::world::{World, Wrong};

/// The first byte that a process is given: compile what follows.
const COMPILE: u8 = b'c';

/// The first byte that a process is given: examine what follows, and no more.
const EXAMINE: u8 = b'e';

/// The exit code of a process that was given no component.
const INVALID: u8 = 1;

/// The exit code of a process that was given a component which can't be run here.
const FOREIGN: u8 = 3;

/// How long compiling may take, unless it is told otherwise.
pub const MAX_TIME: Duration = Duration::from_secs(10);

/// Bytes of memory that compiling may take, unless it is told otherwise.
pub const MAX_MEMORY: u64 = 512 << 20;

/// Where guests are compiled, and within which limits.
#[derive(Clone, Debug)]
pub struct Compiler(Option<Apart>);

/// A program to compile with.
#[derive(Clone, Debug)]
struct Apart {
    program: PathBuf,
    arguments: Vec<OsString>,
    max_time: Duration,
    max_memory: u64,
}

/// Why a guest was not compiled.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The bytes are no component, says wasmtime.
    Invalid(wasmtime::Error),
    /// The component can't be run here.
    World(String),
    /// There was no process to compile in.
    System(io::Error),
    /// Compiling took longer than this.
    Time(Duration),
    /// The process ended so, most likely because it wanted more bytes than this.
    Memory(u64, ExitStatus),
}

impl Compiler {
    /// Compiles in this process, without a limit of time or memory: for guests that are no enemies.
    #[must_use]
    pub fn here() -> Self {
        Self(None)
    }

    /// Compiles in a process of its own, which may take [`MAX_TIME`] and [`MAX_MEMORY`].
    ///
    /// # Safety
    ///
    /// The output of the program is run as machine code. So `program`, called with `arguments` and the limit of memory in
    /// bytes behind them, is one of yours that calls [`work`] with this limit, with an engine that is made as this
    /// process's is, and writes nothing else to its stdout.
    #[must_use]
    pub unsafe fn apart(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self(Some(Apart { program, arguments, max_time: MAX_TIME, max_memory: MAX_MEMORY }))
    }

    /// Sets the limits. Compiling in this process has none.
    #[must_use]
    pub fn limits(self, max_time: Duration, max_memory: u64) -> Self {
        Self(self.0.map(|apart| Apart { max_time, max_memory, ..apart }))
    }

    /// Compiles a component that can be run here.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Code, Failure> {
        match &self.0 {
            None => compile(engine, wasm),
            // SAFETY: the process is one of ours, has ended well, and this is all that it wrote.
            Some(apart) => apart.ask(COMPILE, wasm).map(|output| unsafe { Code::trust(output) }),
        }
    }

    /// Checks the whole of a component, and whether it can be run here, without compiling it.
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
    // A guest that can't be run need not be compiled.
    World::of_wasm(wasm)?.check(engine, wasm)?;
    Code::compile(engine, wasm).map_err(Failure::Invalid)
}

fn examine(engine: &Engine, wasm: &[u8]) -> Result<(), Failure> {
    Ok(World::of_valid_wasm(wasm)?.check(engine, wasm)?)
}

impl Apart {
    /// Has a process do what `what` says with these bytes, and returns what it wrote.
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

    /// Gives the process its input, and takes its output, as long as there is time. On an error the process still runs.
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
                    // Or the thread would go on, and this scope with it.
                    child.kill().ok();
                    Err(Failure::Time(self.max_time))
                }
            }
        })
    }
}

/// Writes all of the input, then reads all of the output: the process writes none before it has read all.
fn exchange(
    mut input: ChildStdin,
    output: ChildStdout,
    what: u8,
    wasm: &[u8],
    max: u64,
) -> io::Result<Vec<u8>> {
    // A process that has ended takes nothing, and how it ended says more.
    input.write_all(&[what]).and_then(|()| input.write_all(wasm)).ok();
    drop(input);
    let mut bytes = Vec::new();
    output.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Examines or compiles what comes from stdin, to stdout, with so many bytes of memory: all that a process does which
/// [`Compiler::apart`] starts. Its exit code is 0 if all is well and stdout has the code, 1 or 3 if it has the reason why
/// not, and 2 if stdin or stdout failed.
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

/// Reads what is asked for, and the bytes of the component.
fn asked() -> io::Result<(u8, Vec<u8>)> {
    let mut stdin = io::stdin().lock();
    let (mut what, mut wasm) = ([0], Vec::new());
    stdin.read_exact(&mut what)?;
    stdin.read_to_end(&mut wasm)?;
    Ok((what[0], wasm))
}

/// Returns what is written to stdout, and the exit code.
fn ended(result: Result<Vec<u8>, Failure>) -> (Vec<u8>, u8) {
    match result {
        Ok(bytes) => (bytes, 0),
        Err(Failure::World(what)) => (what.into_bytes(), FOREIGN),
        Err(Failure::Invalid(error)) => (format!("{error:#}").into_bytes(), INVALID),
        // Nothing here has a process or limits of its own.
        Err(Failure::System(_) | Failure::Time(_) | Failure::Memory(..)) => (Vec::new(), 2),
    }
}

/// Limits this process, which does nothing but compile.
#[cfg(unix)]
fn limit(max_memory: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = |resource, most: u64| {
        // No higher than it is already, which only root may.
        let before = getrlimit(resource);
        let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        setrlimit(resource, Rlimit { current: least(before.current), maximum: least(before.maximum) })
    };
    // Linux counts what can be written to; elsewhere there is only the limit of all addresses.
    limit(if cfg!(target_os = "linux") { Resource::Data } else { Resource::As }, max_memory)?;
    limit(Resource::Core, 0)?;
    // Where the parent is killed, nobody keeps the time.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

#[cfg(not(unix))]
fn limit(_: u64) -> io::Result<()> {
    Ok(())
}
