//! The byte streams of `embedded-io-async` (the feature of that name): what is written for those, protocols mostly, runs on a
//! connection as it is. With the feature `edge-nal`, so does what is written for the TCP traits of that crate.
//!
//! There is no [`ReadReady`](embedded_io_async::ReadReady) and no [`WriteReady`](embedded_io_async::WriteReady):
//! whether an operation would wait, a host finds out by doing it.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use crate::kernel::error::IoError;
use crate::task::conn::Conn;
use crate::task::error::{Error, WaitError};

#[cfg(feature = "edge-nal")]
mod nal;

impl embedded_io_async::Error for Error {
    /// Who tries again what was [`Interrupted`](ErrorKind::Interrupted) must not do so in a task that is to end: that
    /// is [`ConnectionAborted`](ErrorKind::ConnectionAborted).
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Wait(refused) => refused.kind(),
            Self::Failed(failure) => failure.error.kind(),
            Self::Elapsed => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::BrokenPipe,
            Self::Task(_) | Self::Job(_) => ErrorKind::Other,
        }
    }
}

impl embedded_io_async::Error for WaitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled => ErrorKind::ConnectionAborted,
            Self::Full => ErrorKind::OutOfMemory,
            Self::Elsewhere | Self::Wrapped | Self::TooMany | Self::Busy => ErrorKind::Other,
        }
    }
}

impl embedded_io_async::Error for IoError {
    /// The numbers of [`IoError::Os`] mean something to the host only.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::NotConnected,
            Self::Reset => ErrorKind::ConnectionReset,
            Self::Stopping => ErrorKind::ConnectionAborted,
            Self::NoRoom => ErrorKind::OutOfMemory,
            Self::ConnectionRefused => ErrorKind::ConnectionRefused,
            Self::AddressInUse => ErrorKind::AddrInUse,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::WouldBlock | Self::Os(_) => ErrorKind::Other,
        }
    }
}

impl ErrorType for Conn<'_> {
    type Error = Error;
}

impl ErrorType for &Conn<'_> {
    type Error = Error;
}

/// A `read` that is dropped has received nothing.
impl Read for &Conn<'_> {
    #[inline]
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.recv(buf).await
    }
}

/// A `write` that is dropped has sent nothing; a `write_all` may have sent some of it. Nothing is kept back, so that
/// there is nothing to flush.
impl Write for &Conn<'_> {
    #[inline]
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.send(buf).await
    }

    #[inline]
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    async fn write_all(&mut self, buf: &[u8]) -> Result<(), Error> {
        self.send_all(buf).await
    }
}

/// As for a reference.
impl Read for Conn<'_> {
    #[inline]
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        Read::read(&mut &*self, buf).await
    }
}

/// As for a reference.
impl Write for Conn<'_> {
    #[inline]
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.send(buf).await
    }

    #[inline]
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    async fn write_all(&mut self, buf: &[u8]) -> Result<(), Error> {
        self.send_all(buf).await
    }
}
