//! The destination of a stream, on Unix.

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

/// The minimum capacity of a pipe that is writable, in bytes.
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The interval at which a process that waits for a reader checks for a signal.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The file, socket, pipe or terminal that a stream writes to.
#[derive(Debug)]
pub(super) struct Sink {
    which: Standard,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A file without a reader, such as a regular file.
    Plain,
    Socket,
    /// A separate file description, which is non-blocking.
    Own(File),
    /// A file description that other processes may share. It is polled before each write.
    Shared,
}

impl Sink {
    pub(super) fn open(which: Standard) -> Self {
        let kind = match fstat(fd(which)).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => Kind::Socket,
            Ok(FileType::Fifo) => again(which),
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(fd(which)) => again(which),
            // If `fstat` fails, a write to the descriptor fails as well, and reports the error.
            _ => Kind::Plain,
        };
        Self { which, kind }
    }

    /// Writes at least one byte, and returns the number of written bytes.
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

    /// Returns true if a write would succeed or fail without blocking.
    pub(super) fn has_room(&self) -> io::Result<bool> {
        match self.kind {
            Kind::Plain => Ok(true),
            Kind::Socket | Kind::Own(_) | Kind::Shared => is_writable(fd(self.which)),
        }
    }

    /// Blocks until the stream is writable, or a signal requests a stop.
    pub(super) fn wait(&self) -> io::Result<()> {
        while !ready(fd(self.which), LOOK)? {
            if interrupted() {
                return Err(io::Error::other("interrupted by a signal while waiting for the reader"));
            }
        }
        Ok(())
    }
}

/// Returns the stream's descriptor. If the process started without it, the standard library has opened `/dev/null` in
/// its place.
fn fd(which: Standard) -> BorrowedFd<'static> {
    match which {
        Standard::Out => rustix::stdio::stdout(),
        Standard::Err => rustix::stdio::stderr(),
    }
}

/// Opens the file again on Linux, so that `O_NONBLOCK` affects only this process. On other systems, opening such a path
/// returns the same file description.
fn again(which: Standard) -> Kind {
    if !cfg!(target_os = "linux") {
        return Kind::Shared;
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", fd(which).as_raw_fd());
    let opened = File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_or(Kind::Shared, Kind::Own)
}

/// Returns true if a write would succeed or fail without blocking.
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

/// Returns the flags that make a send fail if the peer is gone, instead of raising a signal.
fn no_signal() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    return SendFlags::NOSIGNAL;
    // The standard library makes programs ignore SIGPIPE.
    #[cfg(target_vendor = "apple")]
    return SendFlags::empty();
}
