//! Compiling within limits: in a process of its own, which is ended where it takes too long or wants too much.
//!
//! A file of less than a megabyte can take a compiler minutes and much memory, and nothing in wasmtime stops it
//! halfway.
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

    /// Compiles a component.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Code, Failure> {
        match &self.0 {
            None => Code::compile(engine, wasm).map_err(Failure::Invalid),
            Some(apart) => apart.compile(wasm),
        }
    }
}

impl Apart {
    fn compile(&self, wasm: &[u8]) -> Result<Code, Failure> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(self.max_memory.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Failure::System)?;
        let output = self.talk(&mut child, wasm);
        if output.is_err() {
            child.kill().ok();
        }
        let status = child.wait().map_err(Failure::System)?;
        let output = output?;
        match status.code() {
            // SAFETY: the process is one of ours, has ended well, and this is all that it wrote.
            Some(0) => Ok(unsafe { Code::trust(output) }),
            Some(1) => {
                Err(Failure::Invalid(wasmtime::Error::msg(String::from_utf8_lossy(&output).into_owned())))
            }
            _ => Err(Failure::Memory(self.max_memory, status)),
        }
    }

    /// Gives the process its input, and takes its output, as long as there is time. On an error the process still runs.
    fn talk(&self, child: &mut Child, wasm: &[u8]) -> Result<Vec<u8>, Failure> {
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::System(io::ErrorKind::BrokenPipe.into()));
        };
        let max = self.max_memory;
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            let talking = thread::Builder::new().spawn_scoped(scope, move || {
                sender.send(exchange(input, output, wasm, max)).ok();
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
fn exchange(mut input: ChildStdin, output: ChildStdout, wasm: &[u8], max: u64) -> io::Result<Vec<u8>> {
    // A process that has ended takes nothing, and how it ended says more.
    input.write_all(wasm).ok();
    drop(input);
    let mut bytes = Vec::new();
    output.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Compiles what comes from stdin, to stdout, with so many bytes of memory: all that a process does which
/// [`Compiler::apart`] starts. Its exit code is 0 if stdout has the code, and 1 if it has the reason why there is none.
pub fn work(engine: &Engine, max_memory: u64) -> ExitCode {
    let compiled = limit(max_memory).and_then(|()| {
        let mut wasm = Vec::new();
        io::stdin().lock().read_to_end(&mut wasm)?;
        Ok(Code::compile(engine, &wasm))
    });
    let (bytes, code) = match compiled {
        Ok(Ok(code)) => (code.bytes().to_vec(), ExitCode::SUCCESS),
        Ok(Err(error)) => (format!("{error:#}").into_bytes(), ExitCode::FAILURE),
        Err(error) => (error.to_string().into_bytes(), ExitCode::FAILURE),
    };
    match io::stdout().lock().write_all(&bytes) {
        Ok(()) => code,
        Err(_) => 2.into(),
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
