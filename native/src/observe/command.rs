//! Commands to a loop of another process.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::Ordering;

use sinbin_core::TaskId;

use crate::observe::control::Command;
use crate::observe::error::ObserveError;
use crate::observe::event::EventKind;
use crate::observe::observed::Observed;

/// A request to cancel a task, which its loop has not answered yet.
pub struct Cancellation<'a> {
    observed: &'a Observed,
    command: Command,
    /// The last event that was searched.
    seen: u64,
}

impl Observed {
    /// Returns true if the loop accepts commands: [`Settings::control`](crate::Settings::control).
    #[must_use]
    pub fn accepts_commands(&self) -> bool {
        self.header().control.load(Ordering::Acquire) != 0
    }

    /// Returns true if the task exists. O(1).
    ///
    /// # Errors
    ///
    /// Fails as [`snapshot`](Self::snapshot) does.
    pub fn has_task(&self, task: TaskId) -> Result<bool, ObserveError> {
        let index = u32::try_from(task.index()).unwrap_or(u32::MAX);
        Ok(self.task(index)?.is_some_and(|(view, _)| view.id == task))
    }

    /// Asks the loop to cancel a task. The loop does so when it next polls its sources: a task that keeps the loop is not
    /// interrupted. A waiting `async fn` gets [`WaitError::Cancelled`](crate::task::WaitError::Cancelled) from its wait. If
    /// the task is cancelled again, its future is dropped.
    ///
    /// # Errors
    ///
    /// Returns [`ObserveError::NoCommands`] if the loop accepts none, [`ObserveError::NoProcess`] if its process has
    /// ended, and the error of the system if the command cannot be sent.
    pub fn cancel(&self, task: TaskId) -> Result<Cancellation<'_>, ObserveError> {
        let mut pipe = self.control()?;
        let seen = self.events_after(0).last().map_or(0, |event| event.number);
        let command = Command { task, token: token() };
        pipe.write_all(&command.encode()).map_err(|error| ObserveError::Io { pid: self.pid(), error })?;
        Ok(Cancellation { observed: self, command, seen })
    }

    /// Opens the pipe for commands.
    fn control(&self) -> Result<File, ObserveError> {
        let pid = self.pid();
        let header = self.header();
        let descriptor =
            header.control.load(Ordering::Acquire).checked_sub(1).ok_or(ObserveError::NoCommands(pid))?;
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => ObserveError::NoProcess(pid),
            ErrorKind::PermissionDenied => ObserveError::NotPermitted { pid, error },
            _ => ObserveError::Io { pid, error },
        };
        let (pipe, number) = open(&format!("/proc/{pid}/fd/{descriptor}")).map_err(failed)?;
        // Another process may have the id by now, and another file the descriptor.
        if number != header.control_inode.load(Ordering::Relaxed) {
            return Err(ObserveError::NoProcess(pid));
        }
        Ok(pipe)
    }
}

impl Cancellation<'_> {
    /// Returns the answer of the loop, once it has come: true if the loop has cancelled the task, and false if there was
    /// no such task any more, or if the task accepts connections.
    pub fn answer(&mut self) -> Option<bool> {
        let Self { observed, command, seen } = self;
        let events = observed.events_after(*seen);
        *seen = events.last().map_or(*seen, |event| event.number);
        events.into_iter().find_map(|event| {
            let is_own = event.task == Some(command.task) && event.argument == command.token;
            match event.kind {
                EventKind::Cancelled if is_own => Some(true),
                EventKind::Refused if is_own => Some(false),
                _ => None,
            }
        })
    }
}

/// Opens a pipe for writing. Returns it with its number in the system. Fails if the file is no pipe that a process reads.
#[cfg(target_os = "linux")]
fn open(path: &str) -> io::Result<(File, u64)> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

    use rustix::fs::{Mode, OFlags};

    // Opening a device may have an effect, so the type of the file is checked by a descriptor that opens nothing.
    let place = File::from(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
    let found = place.metadata()?;
    if !found.file_type().is_fifo() {
        return Err(ErrorKind::NotFound.into());
    }
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let same = format!("/proc/self/fd/{}", place.as_raw_fd());
    Ok((OpenOptions::new().write(true).custom_flags(flags).open(same)?, found.ino()))
}

#[cfg(not(target_os = "linux"))]
fn open(_: &str) -> io::Result<(File, u64)> {
    drop(OpenOptions::new());
    Err(ErrorKind::Unsupported.into())
}

/// Returns a number that other commands hardly have.
fn token() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};

    let hash = RandomState::new().hash_one(std::process::id());
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}
