//! Streams of bytes in both directions, whether encrypted or not.

use std::future::poll_fn;
use std::task::{Context, Poll};

use sinbin_core::task::{ByteSource, Conn, Error, Handle};

/// A connection, or a connection with TLS: code that is generic over this trait serves both.
///
/// ```
/// use sinbin::ByteStream;
/// use sinbin::task::Error;
///
/// /// Answers each line with its length.
/// async fn lengths<'d>(stream: impl ByteStream<'d>) -> Result<(), Error> {
///     let mut lines = sinbin::task::Lines::new(&stream, [0; 128]);
///     while let Some(line) = lines.next().await? {
///         stream.send_all(format!("{}\n", line.len()).as_bytes()).await?;
///     }
///     stream.shutdown().await
/// }
/// ```
pub trait ByteStream<'d>: ByteSource {
    /// Returns the loop that the stream belongs to.
    fn handle(&self) -> Handle<'d>;

    /// Receives up to `limit` bytes and passes them to `take`, or registers a wait of the task, as
    /// [`Conn::poll_recv_with`] does. An empty slice means the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails if the stream has failed, or if the task must not wait.
    fn poll_recv_with<R>(
        &self,
        context: &Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R, Error>>;

    /// Accepts as many bytes from the front of `bytes` as possible, or registers a wait of the task. Returns the number
    /// of bytes, which is 0 only if `bytes` is empty. Some of them may be sent by [`poll_flush`](Self::poll_flush) only.
    ///
    /// # Errors
    ///
    /// Fails if the stream has failed, or if the task must not wait.
    fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>>;

    /// Sends what was accepted, or registers a wait of the task.
    ///
    /// # Errors
    ///
    /// Fails if the stream has failed, or if the task must not wait.
    fn poll_flush(&self, context: &Context<'_>) -> Poll<Result<(), Error>>;

    /// Sends what was accepted, and ends the sending direction.
    ///
    /// # Errors
    ///
    /// Fails if the stream has failed, or if the task must not wait.
    fn poll_shutdown(&self, context: &Context<'_>) -> Poll<Result<(), Error>>;

    /// Returns the application protocol that the peers agreed on: see [RFC 7301](https://www.rfc-editor.org/rfc/rfc7301).
    /// Without TLS, there is none.
    fn alpn(&self) -> Option<Vec<u8>> {
        None
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// Fails as [`poll_send`](Self::poll_send) does.
    fn send_all(&self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> {
        async move {
            let mut sent = 0;
            while sent < bytes.len() {
                sent += poll_fn(|context| self.poll_send(context, &bytes[sent..])).await?;
            }
            poll_fn(|context| self.poll_flush(context)).await
        }
    }

    /// Ends the sending direction: the peer reads the end of the stream, and can still answer.
    ///
    /// # Errors
    ///
    /// Fails as [`poll_shutdown`](Self::poll_shutdown) does.
    fn shutdown(&self) -> impl Future<Output = Result<(), Error>> {
        poll_fn(|context| self.poll_shutdown(context))
    }
}

impl<'d> ByteStream<'d> for Conn<'d> {
    fn handle(&self) -> Handle<'d> {
        Self::handle(self)
    }

    #[inline]
    fn poll_recv_with<R>(
        &self,
        context: &Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R, Error>> {
        Self::poll_recv_with(self, context, limit, take)
    }

    #[inline]
    fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        Self::poll_send(self, context, bytes)
    }

    /// Does nothing: a connection has no buffer for bytes to send.
    #[inline]
    fn poll_flush(&self, _: &Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Self::shutdown(self))
    }

    async fn send_all(&self, bytes: &[u8]) -> Result<(), Error> {
        Self::send_all(self, bytes).await
    }
}

impl<'d, S: ByteStream<'d>> ByteStream<'d> for &S {
    fn handle(&self) -> Handle<'d> {
        (**self).handle()
    }

    #[inline]
    fn poll_recv_with<R>(
        &self,
        context: &Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R, Error>> {
        (**self).poll_recv_with(context, limit, take)
    }

    #[inline]
    fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        (**self).poll_send(context, bytes)
    }

    #[inline]
    fn poll_flush(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        (**self).poll_flush(context)
    }

    fn poll_shutdown(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        (**self).poll_shutdown(context)
    }

    fn alpn(&self) -> Option<Vec<u8>> {
        (**self).alpn()
    }

    fn send_all(&self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> {
        (**self).send_all(bytes)
    }
}
