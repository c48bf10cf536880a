//! The byte streams of `embedded-io-async` (with the feature of that name): code that is written for those traits,
//! mostly protocols, runs on a connection unchanged. With the feature `edge-nal`, the TCP traits of that crate are
//! implemented too.
//!
//! [`ReadReady`](embedded_io_async::ReadReady) and [`WriteReady`](embedded_io_async::WriteReady) are not implemented: a
//! host learns whether an operation would block only by attempting it.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use crate::kernel::error::{Failure, IoError};
use crate::task::conn::Conn;
use crate::task::error::{Error, WaitError};

#[cfg(feature = "edge-nal")]
mod nal;

impl embedded_io_async::Error for Error {
    /// Returns [`ConnectionAborted`](ErrorKind::ConnectionAborted) for a task that is to end. Callers retry after
    /// [`Interrupted`](ErrorKind::Interrupted), which such a task must not do.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Wait(refused) => refused.kind(),
            Self::Failed(Failure { error, .. })
            | Self::Address { error, .. }
            | Self::Endpoint { error, .. } => error.kind(),
            Self::Elapsed => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::BrokenPipe,
            Self::Protocol | Self::TooLong { .. } => ErrorKind::InvalidData,
            Self::Task(_) | Self::Job(_) | Self::Lagged(_) | Self::Ended => ErrorKind::Other,
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
    /// Returns [`Other`](ErrorKind::Other) for [`IoError::Os`], whose numbers only the host can interpret.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::NotConnected,
            Self::Reset => ErrorKind::ConnectionReset,
            Self::Stopping => ErrorKind::ConnectionAborted,
            Self::NoRoom => ErrorKind::OutOfMemory,
            Self::ConnectionRefused => ErrorKind::ConnectionRefused,
            Self::AddressInUse => ErrorKind::AddrInUse,
            Self::Unresolved => ErrorKind::NotFound,
            Self::Invalid => ErrorKind::InvalidInput,
            Self::TooLong => ErrorKind::InvalidData,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::WouldBlock | Self::Unreachable | Self::Os(_) => ErrorKind::Other,
        }
    }
}

impl ErrorType for Conn<'_> {
    type Error = Error;
}

impl ErrorType for &Conn<'_> {
    type Error = Error;
}

/// A dropped `read` has received nothing.
impl Read for &Conn<'_> {
    #[inline]
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.recv(buf).await
    }
}

/// A dropped `write` has sent nothing; a dropped `write_all` may have sent a part. Nothing is buffered, so `flush` does
/// nothing.
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

/// Behaves as the implementation for a reference.
impl Read for Conn<'_> {
    #[inline]
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        Read::read(&mut &*self, buf).await
    }
}

/// Behaves as the implementation for a reference.
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
