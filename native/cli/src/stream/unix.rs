//! The end of a stream, on Unix.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{Errno, write};
use rustix::net::{SendFlags, send};

use super::Standard;
use crate::signals::interrupted;

/// The bytes that a pipe has room for once it is writable.
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// How often a process that waits for a reader looks whether a signal came.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The file, socket, pipe or terminal that a stream leads to.
#[derive(Debug)]
pub(super) struct Sink {
    which: Standard,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// There is no reader to wait for.
    Plain,
    Socket,
    /// A description of our own, that never waits.
    Own(File),
    /// A description that others have as well: it is polled first.
    Shared,
}

impl Sink {
    pub(super) fn open(which: Standard) -> Self {
        let kind = match fstat(fd(which)).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => Kind::Socket,
            Ok(FileType::Fifo) => again(which),
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(fd(which)) => again(which),
            // A descriptor that can't be looked at fails when it is written to.
            _ => Kind::Plain,
        };
        Self { which, kind }
    }

    /// Writes a part of it, and more than nothing.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let fd = fd(self.which);
        loop {
            let written = match &self.kind {
                Kind::Plain => write(fd, bytes),
                Kind::Socket => send(fd, bytes, SendFlags::DONTWAIT | no_signal()),
                Kind::Own(file) => write(file, bytes),
                Kind::Shared if is_writable(fd)? => write(fd, &bytes[..bytes.len().min(PIPE_BUF)]),
                Kind::Shared => Err(Errno::AGAIN),
            };
            match written {
                Err(Errno::INTR) => {}
                Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                written => return Ok(written?),
            }
        }
    }

    /// Returns true if a write would find room, or fail.
    pub(super) fn has_room(&self) -> io::Result<bool> {
        match self.kind {
            Kind::Plain => Ok(true),
            Kind::Socket | Kind::Own(_) | Kind::Shared => is_writable(fd(self.which)),
        }
    }

    /// Waits until there is room, or a signal asks the process to stop.
    pub(super) fn wait(&self) -> io::Result<()> {
        while !ready(fd(self.which), LOOK)? {
            if interrupted() {
                return Err(io::Error::other("nobody reads it, and a signal came"));
            }
        }
        Ok(())
    }
}

/// Returns the stream's descriptor. If there was none at the start, the standard library has put one there.
fn fd(which: Standard) -> BorrowedFd<'static> {
    match which {
        Standard::Out => rustix::stdio::stdout(),
        Standard::Err => rustix::stdio::stderr(),
    }
}

/// Opens it again, so that not to wait is a matter of this process alone. Elsewhere than on Linux such a path is another name
/// of the same description.
fn again(which: Standard) -> Kind {
    if !cfg!(target_os = "linux") {
        return Kind::Shared;
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", fd(which).as_raw_fd());
    let opened = File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_or(Kind::Shared, Kind::Own)
}

/// Returns true if a write would find room, or fail.
fn is_writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    ready(fd, NOW)
}

fn ready(fd: BorrowedFd<'_>, timeout: Timespec) -> io::Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)];
    loop {
        match poll(&mut polled, Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

/// Returns the flags of a send that fails where the peer is gone, rather than to raise a signal.
fn no_signal() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    return SendFlags::NOSIGNAL;
    // The standard library has programs ignore SIGPIPE.
    #[cfg(target_vendor = "apple")]
    return SendFlags::empty();
}
