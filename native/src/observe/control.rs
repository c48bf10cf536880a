//! Commands of other processes, which a loop accepts if it was set to.
//!
//! The commands come through a pipe without a name, whose descriptor the loop publishes. The system lets a process write
//! to it that may open the descriptors of this one: those of its user, and root. So there is no socket that others could
//! connect to, and nothing is left behind. The loop learns of a command as it learns of input; the pipe costs nothing
//! while none comes.

use std::cell::Cell;
use std::io;

use sinbin_core::TaskId;

use crate::observe::control::pipe::Pipe;
use crate::observe::event::{halves, whole};
use crate::reactor::Registry;

/// The index under which the reactor reports the pipe. No source has it.
pub(crate) const CONTROL: usize = u32::MAX as usize;

/// The number of bytes of a command. Commands are written at once, so that they don't mix.
pub(crate) const COMMAND: usize = 32;

/// The first word of a command.
const MAGIC: u32 = u32::from_be_bytes(*b"snb\x01");

/// The second word of a command that cancels a task, the only one.
const CANCEL: u32 = 1;

/// A request to cancel a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) task: TaskId,
    /// The number by which the process that sent the command recognizes the answer.
    pub(crate) token: u32,
}

impl Command {
    pub(crate) fn encode(self) -> [u8; COMMAND] {
        let [index, generation] = halves(self.task.to_bits());
        let mut bytes = [0; COMMAND];
        let words = [MAGIC, CANCEL, index, generation, self.token];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words =
            bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap_or([0; 4])));
        let mut next = || words.next();
        if (next()?, next()?) != (MAGIC, CANCEL) {
            return None;
        }
        let (index, generation) = (next()?, next()?);
        Some(Self { task: TaskId::from_bits(whole(index, generation)), token: next()? })
    }
}

/// Decodes what was read from the pipe. If a process has written something else, all of it is discarded, since the
/// beginnings of further commands are not known.
fn commands(bytes: &[u8]) -> Option<Vec<Command>> {
    let is_whole = bytes.len().is_multiple_of(COMMAND);
    if is_whole { bytes.chunks_exact(COMMAND).map(Command::decode).collect() } else { None }
}

/// The end of the pipe at which a loop receives commands.
pub(crate) struct Control {
    pipe: Pipe,
    /// True if the reactor has reported commands that were not taken yet.
    has_come: Cell<bool>,
    /// True once junk was reported, which is logged once.
    is_spoiled: Cell<bool>,
}

impl Control {
    /// Creates the pipe, and lets the reactor watch it.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with [`io::ErrorKind::Unsupported`] on systems other than Linux.
    pub(crate) fn open(registry: &Registry) -> io::Result<Self> {
        Ok(Self { pipe: Pipe::open(registry)?, has_come: Cell::new(false), is_spoiled: Cell::new(false) })
    }

    /// Notes that commands have come.
    #[cold]
    pub(crate) fn come(&self) {
        self.has_come.set(true);
    }

    /// Returns the commands that have come, at most as many as the pipe holds.
    pub(crate) fn take(&self) -> Vec<Command> {
        let mut all = Vec::new();
        if self.has_come.replace(false) {
            self.pipe.read(|bytes| match commands(bytes) {
                Some(commands) => all.extend(commands),
                None if !self.is_spoiled.replace(true) => {
                    tracing::warn!("something else than commands was written to the control pipe");
                }
                None => {}
            });
        }
        all
    }

    /// Returns the descriptor of the pipe and its number in the system, by which a sender recognizes it.
    pub(crate) fn place(&self) -> io::Result<(u32, u64)> {
        self.pipe.place()
    }
}

#[cfg(target_os = "linux")]
mod pipe {
    use std::io::{self, PipeReader, PipeWriter, Read as _};
    use std::os::fd::{AsFd as _, AsRawFd as _};

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

    use super::{COMMAND, CONTROL};
    use crate::reactor::Registry;

    /// The number of commands that are read at once.
    const BATCH: usize = 128;
    /// The maximum number of reads at a time. The pipe holds 64 KiB.
    const READS: usize = 16;

    pub(super) struct Pipe {
        receiver: PipeReader,
        /// Kept open, so that the end of a sender is not the end of the input.
        _sender: PipeWriter,
    }

    impl Pipe {
        pub(super) fn open(registry: &Registry) -> io::Result<Self> {
            let (receiver, sender) = io::pipe()?;
            fcntl_setfl(&receiver, fcntl_getfl(&receiver)? | OFlags::NONBLOCK)?;
            registry.watch_changes(receiver.as_fd(), CONTROL)?;
            Ok(Self { receiver, _sender: sender })
        }

        pub(super) fn read(&self, mut read: impl FnMut(&[u8])) {
            let mut bytes = [0; BATCH * COMMAND];
            for _ in 0..READS {
                match (&self.receiver).read(&mut bytes) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => read(&bytes[..count]),
                }
            }
        }

        pub(super) fn place(&self) -> io::Result<(u32, u64)> {
            let number = u32::try_from(self.receiver.as_raw_fd()).map_err(io::Error::other)?;
            Ok((number, fstat(&self.receiver)?.st_ino))
        }
    }
}

/// The pipe on systems where other processes could not find it.
#[cfg(not(target_os = "linux"))]
mod pipe {
    use std::io;

    use crate::reactor::Registry;

    pub(super) struct Pipe;

    impl Pipe {
        pub(super) fn open(_: &Registry) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        #[expect(clippy::unused_self, reason = "the pipe of other systems is read")]
        pub(super) fn read(&self, _: impl FnMut(&[u8])) {}

        #[expect(clippy::unused_self, reason = "the pipe of other systems has a place")]
        pub(super) fn place(&self) -> io::Result<(u32, u64)> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for (task, token) in [(0, 0), (u64::MAX, u32::MAX), (7 << 32 | 3, 99)] {
            let command = Command { task: TaskId::from_bits(task), token };
            assert_eq!(commands(&command.encode()), Some(vec![command]));
            assert_eq!(commands(&[command.encode(), command.encode()].concat()), Some(vec![command; 2]));
        }
    }

    #[test]
    fn junk_is_no_command() {
        let command = Command { task: TaskId::from_bits(1), token: 2 }.encode();
        assert_eq!(commands(&command[1..]), None);
        assert_eq!(commands(&[&command[..], b"x"].concat()), None);
        assert_eq!(commands(&[0; COMMAND]), None);
        for at in 0..8 {
            let mut other = command;
            other[at] ^= 1;
            assert_eq!(commands(&other), None, "byte {at}");
        }
        assert_eq!(commands(&[]), Some(Vec::new()));
    }
}
