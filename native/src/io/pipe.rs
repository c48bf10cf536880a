//! Pipes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::io::{Errno, ioctl_fionbio, read, write};
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{ByteSource, Error, Handle};
use sinbin_core::{IoError, SourceId};

use crate::watched::Watched;

/// Creates a pipe.
///
/// # Errors
///
/// Fails with the system's error, and if the loop has no slots for two sources.
pub fn pipe(handle: Handle<'_>) -> Result<(PipeWriter<'_>, PipeReader<'_>), Error> {
    let (reader, writer) = io::pipe().map_err(|error| failed(error.into()))?;
    Ok((PipeWriter::adopt(handle, writer)?, PipeReader::adopt(handle, reader)?))
}

/// The end of a pipe, or another stream, that is read from. It can be read by lines: see
/// [`BufReader`](crate::task::BufReader).
///
/// When the loop stops, what is still written can be read: the writer decides when it ends.
#[derive(Debug)]
pub struct PipeReader<'d>(Watched<'d, OwnedFd>);

impl<'d> PipeReader<'d> {
    /// Adds a descriptor that was made elsewhere, and makes it nonblocking, which also affects other processes that
    /// share it. It must be of a pipe, a terminal or a socket: the system reports no readiness of regular files.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and if the loop has no slot for another source.
    pub fn adopt(handle: Handle<'d>, descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        nonblocking(handle, descriptor.into(), false).map(Self)
    }

    /// Reads into `buffer`, and returns the number of bytes; 0 is the end of the stream, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and returns a [`WaitError`](crate::task::WaitError) if the task must not wait.
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.recv(|pipe| read_some(pipe, buffer)).await
    }

    /// Reads up to the end of the stream, but no more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails as [`read`](Self::read) does, and with [`Error::TooLong`] if the stream has more bytes.
    pub async fn read_to_end(&self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.read(&mut buffer).await? {
                0 => return Ok(all),
                count if all.len() + count > limit => return Err(Error::TooLong { limit }),
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

impl ByteSource for PipeReader<'_> {
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.0.poll_recv(context, |pipe| read_some(pipe, buffer))
    }
}

impl AsFd for PipeReader<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get().as_fd()
    }
}

/// The end of a pipe, or another stream, that is written to. Dropping it ends the stream.
#[derive(Debug)]
pub struct PipeWriter<'d>(Watched<'d, OwnedFd>);

impl<'d> PipeWriter<'d> {
    /// Adds a descriptor that was made elsewhere, as [`PipeReader::adopt`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`PipeReader::adopt`] does.
    pub fn adopt(handle: Handle<'d>, descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        nonblocking(handle, descriptor.into(), false).map(Self)
    }

    /// Writes all of `bytes`. The bytes of several tasks mix, unless a call writes at most 512 of them.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::Reset`] if the reader is gone.
    pub async fn write_all(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let written = self.0.send(|pipe| some(write(pipe, bytes))).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }
}

impl AsFd for PipeWriter<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get().as_fd()
    }
}

/// Adds a descriptor to the loop, and makes it nonblocking.
pub(super) fn nonblocking(
    handle: Handle<'_>,
    descriptor: OwnedFd,
    drains: bool,
) -> Result<Watched<'_, OwnedFd>, Error> {
    ioctl_fionbio(&descriptor, true).map_err(|error| failed(io::Error::from(error).into()))?;
    Watched::new(handle, descriptor, drains)
}

/// Reads once.
pub(super) fn read_some(from: impl AsFd, buffer: &mut [u8]) -> Result<usize, IoError> {
    read(from, buffer).map_err(|error| io::Error::from(error).into())
}

/// Returns the result of a write, which would block if it has written nothing.
pub(super) fn some(written: Result<usize, Errno>) -> Result<usize, IoError> {
    match written {
        Ok(0) => Err(IoError::WouldBlock),
        written => written.map_err(|error| io::Error::from(error).into()),
    }
}

/// Returns an error of a descriptor that is not a source of the loop yet.
pub(super) fn failed(error: IoError) -> Error {
    Error::Failed(Failure { op: Op::Wait, source: SourceId::from_bits(u64::MAX), error })
}
