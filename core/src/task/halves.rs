//! The two directions of a connection, owned separately.

use alloc::rc::Rc;
use core::fmt;
use core::task::{Context, Poll};

use crate::task::conn::{Conn, Recv, SendAll};
use crate::task::deferred::Deferred;
use crate::task::error::Error;

impl<'d> Conn<'d> {
    /// Splits the connection into a half that receives and a half that sends, for different owners. Dropping the
    /// sending half ends the sending direction, as [`shutdown`](Self::shutdown) does. The connection is closed when
    /// both halves are dropped. The split allocates memory; within one task, two references to the connection do the
    /// same without an allocation.
    ///
    /// ```
    /// use sinbin_core::task::{Conn, Error, Handle};
    ///
    /// /// Sends a greeting in a task of its own, while this one receives.
    /// async fn greet<'d>(handle: Handle<'d>, conn: Conn<'d>) -> Result<usize, Error> {
    ///     let (receiver, sender) = conn.into_split();
    ///     handle.detach(async move { sender.send_all(b"hello\n").await })?;
    ///     receiver.recv(&mut [0; 64]).await
    /// }
    /// ```
    #[must_use]
    pub fn into_split(self) -> (RecvHalf<'d>, SendHalf<'d>) {
        let conn = Rc::new(self);
        (RecvHalf { conn: Rc::clone(&conn) }, SendHalf { conn, is_open: true })
    }
}

/// The receiving half of a connection, from [`Conn::into_split`].
pub struct RecvHalf<'d> {
    conn: Rc<Conn<'d>>,
}

/// The sending half of a connection, from [`Conn::into_split`]. Dropping it ends the sending direction.
pub struct SendHalf<'d> {
    conn: Rc<Conn<'d>>,
    /// True if dropping the half ends the sending direction.
    is_open: bool,
}

impl<'d> RecvHalf<'d> {
    /// Returns the connection, for operations that the half does not have.
    #[must_use]
    #[inline]
    pub fn conn(&self) -> &Conn<'d> {
        &self.conn
    }

    /// Receives as [`Conn::recv`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::recv`] does.
    #[inline]
    pub fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> Recv<'a, 'd> {
        self.conn.recv(buffer)
    }

    /// Receives as [`Conn::recv_with`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::recv_with`] does.
    pub async fn recv_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.conn.recv_with(take).await
    }

    /// Receives as [`Conn::poll_recv`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::poll_recv`] does.
    #[inline]
    pub fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.conn.poll_recv(context, buffer)
    }

    /// Joins the two halves of a connection again. The connection stays open in both directions.
    ///
    /// # Errors
    ///
    /// Returns a [`ReuniteError`] with both halves if they are not of the same connection.
    pub fn reunite(self, mut half: SendHalf<'d>) -> Result<Conn<'d>, ReuniteError<'d>> {
        if !Rc::ptr_eq(&self.conn, &half.conn) {
            return Err(ReuniteError(self, half));
        }
        half.is_open = false;
        drop(half);
        Rc::try_unwrap(self.conn).map_err(|_| unreachable!("a connection has two halves"))
    }
}

impl<'d> SendHalf<'d> {
    /// Returns the connection, for operations that the half does not have.
    #[must_use]
    #[inline]
    pub fn conn(&self) -> &Conn<'d> {
        &self.conn
    }

    /// Sends as [`Conn::send`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::send`] does.
    pub async fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.conn.send(bytes).await
    }

    /// Sends as [`Conn::send_all`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::send_all`] does.
    #[inline]
    pub fn send_all<'a>(&'a self, bytes: &'a [u8]) -> SendAll<'a, 'd> {
        self.conn.send_all(bytes)
    }

    /// Sends as [`Conn::poll_send`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::poll_send`] does.
    #[inline]
    pub fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        self.conn.poll_send(context, bytes)
    }

    /// Ends the sending direction as [`Conn::shutdown`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::shutdown`] does.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.conn.shutdown()?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for SendHalf<'_> {
    fn drop(&mut self) {
        // If the other half has been dropped, dropping this one closes the connection.
        if self.is_open && Rc::strong_count(&self.conn) > 1 {
            self.conn.handle().run_context().give_back(Deferred::Shutdown(self.conn.source()));
        }
    }
}

impl<'d> AsRef<Conn<'d>> for RecvHalf<'d> {
    fn as_ref(&self) -> &Conn<'d> {
        &self.conn
    }
}

impl<'d> AsRef<Conn<'d>> for SendHalf<'d> {
    fn as_ref(&self) -> &Conn<'d> {
        &self.conn
    }
}

impl fmt::Debug for RecvHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvHalf").field("source", &self.conn.source()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SendHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf").field("source", &self.conn.source()).finish_non_exhaustive()
    }
}

/// Error returned when two halves are not of the same connection. It contains the halves.
#[derive(Debug)]
pub struct ReuniteError<'d>(pub RecvHalf<'d>, pub SendHalf<'d>);

impl fmt::Display for ReuniteError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same connection")
    }
}

impl core::error::Error for ReuniteError<'_> {}
