//! The guest's stdin.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{Errno, read};
use rustix::net::{RecvFlags, recv};

/// The input of a guest: a file, pipe, socket or terminal.
#[derive(Debug)]
pub struct Input {
    descriptor: OwnedFd,
    kind: Kind,
}

/// The way in which an input is read without blocking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// By a flag of each call.
    Socket,
    /// The descriptor is nonblocking, or that of a file that never blocks.
    Never,
    /// Other processes share the file description, and may need it to block. It is polled before each read.
    Shared,
}

/// Stdin, which is read from the descriptor of its source.
pub(super) struct Stdin {
    kind: Kind,
    pub(super) has_ended: bool,
}

impl Input {
    /// Creates an input from a descriptor. Its file description is left as it is, since other processes may share it.
    #[must_use]
    pub fn new(descriptor: OwnedFd) -> Self {
        let kind = fstat(&descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Socket) => Self { descriptor, kind: Kind::Socket },
            Ok(FileType::Fifo) => again(descriptor),
            Ok(FileType::CharacterDevice) if rustix::termios::isatty(&descriptor) => again(descriptor),
            _ => Self { descriptor, kind: Kind::Never },
        }
    }

    /// Returns true if the input is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        rustix::termios::isatty(&self.descriptor)
    }

    pub(super) fn into_parts(self) -> (OwnedFd, Stdin) {
        (self.descriptor, Stdin { kind: self.kind, has_ended: false })
    }
}

/// Opens the file again on Linux, so that `O_NONBLOCK` affects only this process.
fn again(descriptor: OwnedFd) -> Input {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    match opened {
        Ok(file) if cfg!(target_os = "linux") => Input { descriptor: file.into(), kind: Kind::Never },
        _ => Input { descriptor, kind: Kind::Shared },
    }
}

impl Stdin {
    /// Reads into the spare capacity of `bytes`. Returns the number of bytes, which is 0 at the end.
    ///
    /// # Errors
    ///
    /// Fails with `EAGAIN` if there are no bytes, and with the system's error.
    pub(super) fn read(&self, descriptor: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
        match self.kind {
            Kind::Socket => {
                recv(descriptor, spare_capacity(bytes), RecvFlags::DONTWAIT).map(|(count, _)| count)
            }
            Kind::Shared if !is_readable(descriptor)? => Err(Errno::AGAIN),
            Kind::Shared | Kind::Never => read(descriptor, spare_capacity(bytes)),
        }
    }
}

/// Returns true if a read would not block.
fn is_readable(descriptor: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut polled = [PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN)];
    Ok(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}
