//! Connections as hyper's I/O.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use sinbin_core::IoError;
use sinbin_core::task::Error;
use sinbin_core::time::Sleep;

use crate::byte_stream::ByteStream;

/// The time between two attempts to receive while the loop drains.
const RETRY: Duration = Duration::from_millis(10);

/// A connection as hyper's I/O: a [`Conn`](crate::task::Conn), a `TlsConn`, or a reference to one.
///
/// While the loop drains, requests that are not complete can still be received: the protocol decides when a connection
/// ends. (A connection itself fails with [`IoError::Stopping`] then, where no bytes are available.)
pub struct Io<'d, S> {
    stream: S,
    /// Bytes that were received before hyper got the connection.
    prefix: Vec<u8>,
    retry: Retry<'d>,
    /// The time for the peer to accept some bytes.
    write_timeout: Option<Duration>,
    /// The end of that time, while the peer accepts none.
    stuck: Option<Sleep<'d>>,
    /// The first error of the stream, which hyper reports without its type.
    failed: Rc<Cell<Option<Error>>>,
}

impl<'d, S: ByteStream<'d>> Io<'d, S> {
    /// Makes the stream hyper's I/O.
    pub fn new(stream: S) -> Self {
        Self::with_prefix(stream, Vec::new(), Rc::default())
    }

    pub(super) const fn with_prefix(stream: S, prefix: Vec<u8>, failed: Rc<Cell<Option<Error>>>) -> Self {
        Self { stream, prefix, retry: Retry(None), write_timeout: None, stuck: None, failed }
    }

    /// Sets the time that the peer has to accept some bytes, when it accepts none at once. By default, there is no limit.
    #[must_use]
    pub const fn write_timeout(mut self, limit: Option<Duration>) -> Self {
        self.write_timeout = limit;
        self
    }

    /// Returns the stream.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream. Bytes that hyper has received are lost.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn failed(&self, error: Error) -> io::Error {
        self.failed.set(self.failed.get().or(Some(error)));
        error.into()
    }
}

impl<'d, S: ByteStream<'d> + Unpin> Read for Io<'d, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let count = this.prefix.len().min(buffer.remaining());
            buffer.put_slice(&this.prefix[..count]);
            this.prefix.drain(..count);
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let Self { stream, retry, .. } = this;
        let received =
            retry.poll_recv_with(stream, context, buffer.remaining(), |bytes| buffer.put_slice(bytes));
        received.map_err(|error| this.failed(error))
    }
}

/// The pause before the next attempt to receive, while the loop drains.
pub(super) struct Retry<'d>(pub(super) Option<Sleep<'d>>);

impl<'d> Retry<'d> {
    /// Receives as [`ByteStream::poll_recv_with`] does, also while the loop drains.
    pub(super) fn poll_recv_with<R>(
        &mut self,
        stream: &impl ByteStream<'d>,
        context: &mut Context<'_>,
        limit: usize,
        mut take: impl FnMut(&[u8]) -> R,
    ) -> Poll<Result<R, Error>> {
        loop {
            if let Some(retry) = &mut self.0 {
                ready!(Pin::new(retry).poll(context));
                self.0 = None;
            }
            match ready!(stream.poll_recv_with(context, limit, &mut take)) {
                Err(error) if error.io() == Some(IoError::Stopping) => {
                    self.0 = Some(stream.handle().sleep(RETRY));
                }
                received => return Poll::Ready(received),
            }
        }
    }
}

impl<'d, S: ByteStream<'d> + Unpin> Io<'d, S> {
    /// Converts the result of a poll that writes. Fails if the peer has accepted nothing for too long.
    #[inline]
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<Result<T, Error>>,
    ) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(written) => {
                self.stuck = None;
                Poll::Ready(written.map_err(|error| self.failed(error)))
            }
            Poll::Pending => self.poll_stuck(context).map(Err),
        }
    }

    fn poll_stuck(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(limit) = self.write_timeout else { return Poll::Pending };
        let handle = self.stream.handle();
        let stuck = self.stuck.get_or_insert_with(|| handle.sleep(limit));
        Pin::new(stuck).poll(context).map(|()| self.failed(Error::Elapsed))
    }
}

impl<'d, S: ByteStream<'d> + Unpin> Write for Io<'d, S> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.stream.poll_send(context, bytes);
        this.written(context, polled)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = this.stream.poll_flush(context);
        this.written(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = this.stream.poll_shutdown(context);
        this.written(context, polled)
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Io<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Io").field(&self.stream).finish()
    }
}
