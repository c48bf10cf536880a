//! The standard streams.
//!
//! Other processes share the file description of a standard stream: a shell, or the next program of a pipeline. Setting
//! `O_NONBLOCK` would affect them. On Linux, a pipe or a terminal is opened again instead, as a description of its own.
//! Elsewhere, the stream is polled before each call, and a call writes no more than a writable pipe accepts.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::write;
use sinbin_core::IoError;
use sinbin_core::task::{ByteSource, Error, Handle, JobError};

use super::pipe::{failed, read_some, some};
use crate::watched::Watched;

/// The minimum capacity of a pipe that is writable, in bytes.
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// The maximum number of bytes of a call on a thread.
const BLOCK: usize = 64 * 1024;

/// A standard stream.
enum Stream<'d> {
    /// A pipe, a terminal or a socket, which is watched. A descriptor that is not our own is polled before each call.
    Watched { stream: Watched<'d, OwnedFd>, is_own: bool },
    /// A regular file or another file that is always ready. Its calls run on a thread that may block.
    File { handle: Handle<'d>, file: Arc<File> },
}

impl<'d> Stream<'d> {
    fn new(handle: Handle<'d>, stream: BorrowedFd<'_>, reads: bool) -> Result<Self, Error> {
        let kind = fstat(stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let kind = kind.map_err(|error| failed(io::Error::from(error).into()))?;
        let own = || stream.try_clone_to_owned().map_err(|error| failed(error.into()));
        let is_watched = match kind {
            FileType::Fifo | FileType::Socket => true,
            FileType::CharacterDevice => rustix::termios::isatty(stream),
            _ => false,
        };
        if !is_watched {
            return Ok(Self::File { handle, file: Arc::new(File::from(own()?)) });
        }
        let (descriptor, is_own) = match again(stream, kind, reads) {
            Some(again) => (again, true),
            None => (own()?, false),
        };
        Ok(Self::Watched { stream: Watched::new(handle, descriptor, reads)?, is_own })
    }
}

/// Opens a pipe or a terminal again on Linux, so that `O_NONBLOCK` affects only this process. On other systems, opening
/// such a path returns the same file description.
fn again(stream: BorrowedFd<'_>, kind: FileType, reads: bool) -> Option<OwnedFd> {
    if !cfg!(target_os = "linux") || kind == FileType::Socket {
        return None;
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let mut options = File::options();
    options.read(reads).write(!reads).custom_flags(flags.bits().cast_signed());
    options.open(path).ok().map(OwnedFd::from)
}

/// Fails with [`IoError::WouldBlock`] if the descriptor, which may be blocking, is not ready.
fn check(descriptor: &OwnedFd, is_own: bool, flags: PollFlags) -> Result<(), IoError> {
    let mut polled = [PollFd::from_borrowed_fd(descriptor.as_fd(), flags)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match if is_own { Ok(1) } else { poll(&mut polled, Some(&now)) } {
        Ok(0) => Err(IoError::WouldBlock),
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

/// A read that is in progress on a thread: its result is the bytes that were read.
type Reading<'d> = Pin<Box<dyn Future<Output = Result<Result<Vec<u8>, IoError>, JobError>> + 'd>>;

/// The standard input. It can be read by lines: see [`BufReader`](crate::task::BufReader).
///
/// Pipes, terminals and sockets are read when they are ready, other files on a thread that may block. When the loop
/// stops, a read of a stream without input fails with [`IoError::Stopping`].
pub struct Stdin<'d> {
    stream: Stream<'d>,
    /// The read on a thread, and its bytes that were not taken yet.
    reading: RefCell<Option<Reading<'d>>>,
    rest: RefCell<Vec<u8>>,
}

impl<'d> Stdin<'d> {
    /// Creates a reader of the standard input. Bytes in the buffer of `std::io::stdin` are not available here.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and if the loop has no slot for another source.
    pub fn new(handle: Handle<'d>) -> Result<Self, Error> {
        let stream = Stream::new(handle, rustix::stdio::stdin(), true)?;
        Ok(Self { stream, reading: RefCell::default(), rest: RefCell::default() })
    }

    /// Reads into `buffer`, and returns the number of bytes; 0 is the end of the stream, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and returns a [`WaitError`](crate::task::WaitError) if the task must not wait.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.recv(buffer).await
    }

    /// Polls a read of a file on a thread.
    fn poll_file(
        &self,
        handle: Handle<'d>,
        file: &Arc<File>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Error>> {
        let mut rest = self.rest.borrow_mut();
        if rest.is_empty() {
            let mut reading = self.reading.borrow_mut();
            let job = reading.get_or_insert_with(|| {
                let (file, limit) = (Arc::clone(file), buffer.len().min(BLOCK));
                Box::pin(handle.blocking(move || {
                    let mut bytes = vec![0; limit];
                    let count = read_some(&*file, &mut bytes)?;
                    bytes.truncate(count);
                    Ok(bytes)
                }))
            });
            let read = ready!(job.as_mut().poll(context));
            *reading = None;
            *rest = read?.map_err(failed)?;
        }
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        rest.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl ByteSource for Stdin<'_> {
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match &self.stream {
            Stream::Watched { stream, is_own } => stream.poll_recv(context, |descriptor| {
                check(descriptor, *is_own, PollFlags::IN)?;
                read_some(descriptor, buffer)
            }),
            Stream::File { handle, file } => {
                let mut context = Context::from_waker(context.waker());
                self.poll_file(*handle, file, &mut context, buffer)
            }
        }
    }
}

impl std::fmt::Debug for Stdin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl Stream<'_> {
    async fn write_all(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let count = match self {
                Self::Watched { stream, is_own } => {
                    let limit = if *is_own { bytes.len() } else { bytes.len().min(PIPE_BUF) };
                    let piece = &bytes[..limit];
                    let write = |descriptor: &OwnedFd| {
                        check(descriptor, *is_own, PollFlags::OUT)?;
                        some(write(descriptor, piece))
                    };
                    stream.send(write).await?
                }
                Self::File { handle, file } => {
                    let (file, piece) = (Arc::clone(file), bytes[..bytes.len().min(BLOCK)].to_vec());
                    let written = handle.blocking(move || io::Write::write(&mut &*file, &piece)).await?;
                    written.map_err(|error| failed(error.into()))?
                }
            };
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

macro_rules! output {
    ($(#[$doc:meta])* $name:ident, $stream:path) => {
        $(#[$doc])*
        pub struct $name<'d>(Stream<'d>);

        impl<'d> $name<'d> {
            /// Creates a writer. It has no buffer.
            ///
            /// # Errors
            ///
            /// Fails with the system's error, and if the loop has no slot for another source.
            pub fn new(handle: Handle<'d>) -> Result<Self, Error> {
                Stream::new(handle, $stream(), false).map(Self)
            }

            /// Writes all of `bytes`.
            ///
            /// # Errors
            ///
            /// Fails with the system's error: [`IoError::Reset`] if the reader is gone.
            pub async fn write_all(&self, bytes: &[u8]) -> Result<(), Error> {
                self.0.write_all(bytes).await
            }
        }

        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

output!(
    /// The standard output. Pipes, terminals and sockets are written when they accept bytes, other files on a thread
    /// that may block.
    Stdout,
    rustix::stdio::stdout
);
output!(
    /// The standard error stream, as [`Stdout`] is the standard output.
    Stderr,
    rustix::stdio::stderr
);
