//! Child processes, whose pipes and ends are waits (Unix).
//!
//! ```
//! use std::process::Command;
//!
//! use sinbin::process;
//!
//! let output = sinbin::run(async |handle| {
//!     process::output(handle, Command::new("echo").arg("hello"), 1000).await
//! })??;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The end of a child is a descriptor that becomes ready (a pidfd) on Linux, and a call on a thread elsewhere. SIGCHLD
//! is left alone: a program must not ignore it, since the system then discards the ends of children.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{self, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use sinbin_core::IoError;
use sinbin_core::task::{Error, Handle, try_join};

use crate::io::{PipeReader, PipeWriter};
use crate::watched::Watched;

/// A child process.
///
/// A child that is dropped runs on. Its end is collected when the next child is spawned or dropped, so that it does not
/// stay a zombie for longer.
#[derive(Debug)]
pub struct Child<'d> {
    /// The pipe to the child's standard input, if the command asks for one by [`Stdio::piped`]. Drop it to end the input.
    pub stdin: Option<PipeWriter<'d>>,
    /// The pipe from the child's standard output, if the command asks for one.
    pub stdout: Option<PipeReader<'d>>,
    /// The pipe from the child's standard error stream, if the command asks for one.
    pub stderr: Option<PipeReader<'d>>,
    /// The process. `None` once it is dropped.
    process: Option<process::Child>,
    end: End<'d>,
}

/// The way in which the end of a child is waited for.
#[derive(Debug)]
enum End<'d> {
    /// A pidfd.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has pidfds"))]
    Descriptor(Watched<'d, OwnedFd>),
    /// A call on a thread that may block.
    Call(Handle<'d>),
}

/// Starts a child process. Use [`Stdio::piped`] in the command for the streams that the program reads or writes; the
/// default is that the child shares those of this process.
///
/// # Errors
///
/// Fails with the name of the program and the system's error, and if the loop has no slots for the pipes.
pub fn spawn<'d>(handle: Handle<'d>, command: &mut Command) -> io::Result<Child<'d>> {
    collect_orphans();
    let mut process = command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("run {}: {error}", command.get_program().display()))
    })?;
    let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    // From here on, the child is collected whatever fails.
    let mut child = Child {
        stdin: None,
        stdout: None,
        stderr: None,
        end: End::of(handle, &process),
        process: Some(process),
    };
    child.stdin = stdin.map(|pipe| PipeWriter::adopt(handle, pipe)).transpose()?;
    child.stdout = stdout.map(|pipe| PipeReader::adopt(handle, pipe)).transpose()?;
    child.stderr = stderr.map(|pipe| PipeReader::adopt(handle, pipe)).transpose()?;
    Ok(child)
}

/// Runs a command to its end, without input, and returns what it has written: up to `limit` bytes of each stream.
///
/// # Errors
///
/// Fails as [`spawn`] and [`Child::wait`] do, and with [`Error::TooLong`] if the child writes more; it is killed then.
pub async fn output(handle: Handle<'_>, command: &mut Command, limit: usize) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(handle, command)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    match try_join(read(stdout.as_ref(), limit), read(stderr.as_ref(), limit)).await {
        Ok((stdout, stderr)) => Ok(Output { status: child.wait().await?, stdout, stderr }),
        Err(error) => {
            child.kill().ok();
            Err(error.into())
        }
    }
}

async fn read(pipe: Option<&PipeReader<'_>>, limit: usize) -> Result<Vec<u8>, Error> {
    match pipe {
        Some(pipe) => pipe.read_to_end(limit).await,
        None => Ok(Vec::new()),
    }
}

impl Child<'_> {
    /// Returns the system's id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, process::Child::id)
    }

    /// Waits for the end of the child. Drop the pipe to its standard input first, if the child reads that to its end.
    /// A dropped wait loses nothing, and after the end, the status is returned again.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and if the task must not wait.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(process) = &mut self.process else { return Err(io::ErrorKind::NotFound.into()) };
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        match &self.end {
            End::Descriptor(descriptor) => {
                let ended = descriptor.recv(|_| match process.try_wait() {
                    Ok(None) => Err(IoError::WouldBlock),
                    Ok(Some(status)) => Ok(Ok(status)),
                    Err(error) => Ok(Err(error)),
                });
                ended.await?
            }
            End::Call(handle) => {
                let pid = Pid::from_child(process);
                let end = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                handle
                    .blocking(move || waitid(WaitId::Pid(pid), end).map(|_| ()))
                    .await
                    .map_err(Error::from)??;
                process.wait()
            }
        }
    }

    /// Returns the status of the child, if it has ended.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), process::Child::try_wait)
    }

    /// Kills the child (SIGKILL). Has no effect if it has ended and that was waited for.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.as_mut().map_or(Ok(()), process::Child::kill)
    }
}

impl<'d> End<'d> {
    #[cfg(target_os = "linux")]
    fn of(handle: Handle<'d>, process: &process::Child) -> Self {
        use rustix::process::{PidfdFlags, pidfd_open};

        let descriptor = pidfd_open(Pid::from_child(process), PidfdFlags::NONBLOCK);
        // The oldest kernels and some sandboxes have no pidfds.
        let watched = descriptor.ok().and_then(|descriptor| Watched::new(handle, descriptor, false).ok());
        watched.map_or(Self::Call(handle), Self::Descriptor)
    }

    #[cfg(not(target_os = "linux"))]
    fn of(handle: Handle<'d>, _: &process::Child) -> Self {
        Self::Call(handle)
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            orphans().push(process);
        }
        collect_orphans();
    }
}

/// The children that were dropped before their ends.
static ORPHANS: Mutex<Vec<process::Child>> = Mutex::new(Vec::new());

fn orphans() -> std::sync::MutexGuard<'static, Vec<process::Child>> {
    ORPHANS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects the ends of children that were dropped, so that the system can forget them. O(n) in their number.
fn collect_orphans() {
    orphans().retain_mut(|process| matches!(process.try_wait(), Ok(None)));
}
