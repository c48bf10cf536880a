//! Output that nobody hears: what becomes of it is nothing to those that a server serves.

use std::env;
use std::fs::File;
use std::io::{self, PipeReader, Write, pipe};
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// A stdout or stderr of which nobody hears anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mute {
    /// The stream is closed.
    Closed,
    /// A file that has room for nothing: `/dev/full`.
    Full,
    /// A pipe whose reader is gone.
    Gone,
    /// A pipe whose reader does not read, and which is full from the start.
    Unread,
}

impl Mute {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Full, Self::Gone, Self::Unread];

    /// Returns the kind of stderr that `SINBIN_STDERR` names for children; none where it is heard.
    pub(crate) fn of_environment() -> Option<Self> {
        let name = env::var("SINBIN_STDERR").ok()?;
        let found = Self::ALL.into_iter().find(|mute| format!("{mute:?}").eq_ignore_ascii_case(&name));
        Some(found.unwrap_or_else(|| panic!("SINBIN_STDERR={name}: there are {:?}", Self::ALL)))
    }

    /// Opens the stream: the end that a child gets, and the one to be kept as long as it runs.
    pub(crate) fn open(self) -> io::Result<(Stdio, Option<PipeReader>)> {
        match self {
            // The shell that starts the child closes this one.
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

/// Returns true if tests hear what their children say to stderr: what they say of it is only true then.
#[must_use]
pub fn stderr_is_heard() -> bool {
    Mute::of_environment().is_none()
}

/// Returns the command by way of a shell that does `first`, such as to close a stream or to ignore a signal.
///
/// # Panics
///
/// When the command has no environment that can be copied.
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
