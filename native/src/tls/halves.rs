//! The two directions of a connection with TLS, owned separately.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use sinbin_core::task::{ByteSource, Error};

use crate::tls::conn::TlsConn;

impl<'d> TlsConn<'d> {
    /// Splits the connection into a half that receives and a half that sends, for different owners, as
    /// [`Conn::into_split`](crate::task::Conn::into_split) does. Dropping the sending half announces the end of the
    /// stream, unless the thread panics, as far as the connection accepts that at once; the half that receives sends
    /// the rest. [`TlsSendHalf::shutdown`] waits for it.
    #[must_use]
    pub fn into_split(self) -> (TlsRecvHalf<'d>, TlsSendHalf<'d>) {
        let conn = Rc::new(self);
        (TlsRecvHalf { conn: Rc::clone(&conn) }, TlsSendHalf { conn })
    }
}

/// The receiving half of a connection with TLS, from [`TlsConn::into_split`].
pub struct TlsRecvHalf<'d> {
    conn: Rc<TlsConn<'d>>,
}

/// The sending half of a connection with TLS, from [`TlsConn::into_split`].
pub struct TlsSendHalf<'d> {
    conn: Rc<TlsConn<'d>>,
}

impl<'d> TlsRecvHalf<'d> {
    /// Returns the connection, for operations that the half does not have.
    #[must_use]
    pub fn conn(&self) -> &TlsConn<'d> {
        &self.conn
    }

    /// Receives as [`TlsConn::recv`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`TlsConn::recv`] does.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.conn.recv(buffer).await
    }

    /// Receives as [`TlsConn::recv_with`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`TlsConn::recv_with`] does.
    pub async fn recv_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.conn.recv_with(take).await
    }
}

impl<'d> TlsSendHalf<'d> {
    /// Returns the connection, for operations that the half does not have.
    #[must_use]
    pub fn conn(&self) -> &TlsConn<'d> {
        &self.conn
    }

    /// Sends as [`TlsConn::send`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`TlsConn::send`] does.
    pub async fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.conn.send(bytes).await
    }

    /// Sends as [`TlsConn::send_all`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`TlsConn::send_all`] does.
    pub async fn send_all(&self, bytes: &[u8]) -> Result<(), Error> {
        self.conn.send_all(bytes).await
    }

    /// Announces the end of the stream as [`TlsConn::shutdown`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`TlsConn::shutdown`] does.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.conn.shutdown().await
    }
}

impl Drop for TlsSendHalf<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Ok(mut session) = self.conn.session() {
            session.close();
        }
        self.conn.flush_now();
    }
}

impl ByteSource for TlsRecvHalf<'_> {
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.conn.poll_recv(context, buffer)
    }
}

impl<'d> AsRef<TlsConn<'d>> for TlsRecvHalf<'d> {
    fn as_ref(&self) -> &TlsConn<'d> {
        &self.conn
    }
}

impl<'d> AsRef<TlsConn<'d>> for TlsSendHalf<'d> {
    fn as_ref(&self) -> &TlsConn<'d> {
        &self.conn
    }
}

impl fmt::Debug for TlsRecvHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsRecvHalf").field(&self.conn).finish()
    }
}

impl fmt::Debug for TlsSendHalf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsSendHalf").field(&self.conn).finish()
    }
}
