//! Output that no process reads. A server must serve its clients in spite of that.

use std::env;
use std::fs::File;
use std::io::{self, PipeReader, Write, pipe};
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// A stdout or stderr that no process reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mute {
    /// A closed stream.
    Closed,
    /// A file without capacity: `/dev/full`.
    Full,
    /// A pipe whose read end is closed.
    Gone,
    /// A pipe that is full from the start and whose read end is never read.
    Unread,
}

impl Mute {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Full, Self::Gone, Self::Unread];

    /// Returns the kind of stderr that `SINBIN_STDERR` selects for children, or `None` if stderr is read.
    pub(crate) fn of_environment() -> Option<Self> {
        let name = env::var("SINBIN_STDERR").ok()?;
        let found = Self::ALL.into_iter().find(|mute| format!("{mute:?}").eq_ignore_ascii_case(&name));
        Some(found.unwrap_or_else(|| panic!("SINBIN_STDERR={name}: unknown; the kinds are {:?}", Self::ALL)))
    }

    /// Opens the stream. Returns the child's end, and the end that must be kept open as long as the child runs.
    pub(crate) fn open(self) -> io::Result<(Stdio, Option<PipeReader>)> {
        match self {
            // The shell that starts the child closes this stream.
            Self::Closed => Ok((Stdio::null(), None)),
            Self::Full => Ok((File::options().write(true).open("/dev/full")?.into(), None)),
            Self::Gone => Ok((pipe()?.1.into(), None)),
            Self::Unread => {
                let (reader, mut writer) = pipe()?;
                let flags = fcntl_getfl(&writer)?;
                fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
                while writer.write(&[b'.'; 4096]).is_ok() {}
                while writer.write(b".").is_ok() {}
                fcntl_setfl(&writer, flags)?;
                Ok((writer.into(), Some(reader)))
            }
        }
    }
}

/// Returns true if tests can read the stderr of their children. Assertions about stderr are only meaningful then.
#[must_use]
pub fn stderr_is_heard() -> bool {
    Mute::of_environment().is_none()
}

/// Wraps the command in a shell that runs `first` before, for example to close a stream or to ignore a signal.
///
/// # Panics
///
/// Panics if `sh` cannot run.
#[must_use]
pub fn by_shell(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\"")).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    shell
}
