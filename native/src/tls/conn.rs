//! Connections with TLS.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use sinbin_core::IoError;
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{ByteSource, Conn, Error, Handle, Lines, WaitError};

use crate::byte_stream::ByteStream;
use crate::tls::session::{Readable, Session};

/// A connection with TLS, after the handshake: from [`TlsAcceptor`](crate::tls::TlsAcceptor) or
/// [`TlsConnector`](crate::tls::TlsConnector).
///
/// The operations are those of a [`Conn`], with the same rules: they take a shared reference, and one task can receive
/// while another sends. Dropping a `TlsConn` closes the connection, and does not announce its end:
/// [`shutdown`](Self::shutdown) does.
pub struct TlsConn<'d> {
    conn: Conn<'d>,
    session: RefCell<Session>,
    /// True while an operation is in the middle of sending, so that the bytes of one call arrive in one piece.
    is_sending: Cell<bool>,
}

impl<'d> TlsConn<'d> {
    pub(super) const fn new(conn: Conn<'d>, session: Session) -> Self {
        Self { conn, session: RefCell::new(session), is_sending: Cell::new(false) }
    }

    /// Returns the session.
    ///
    /// # Errors
    ///
    /// Fails within a callback that borrows the session, such as that of [`recv_with`](Self::recv_with).
    pub(super) fn session(&self) -> Result<RefMut<'_, Session>, WaitError> {
        self.session.try_borrow_mut().map_err(|_| WaitError::Elsewhere)
    }

    /// Returns the connection below TLS. Bytes that are sent or received there break the session.
    #[must_use]
    pub const fn conn(&self) -> &Conn<'d> {
        &self.conn
    }

    /// Returns the loop that the connection belongs to.
    #[must_use]
    pub const fn handle(&self) -> Handle<'d> {
        self.conn.handle()
    }

    /// Returns the address of the peer, if the host knows it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.conn.peer()
    }

    /// Returns the application protocol that the peers agreed on (`h2`, for example).
    #[must_use]
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.with_rustls(|tls| tls.alpn_protocol().map(<[u8]>::to_vec)).ok().flatten()
    }

    /// Returns the certificates of the peer, its own first. A client has none unless the server asks for them.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        let certificates = |tls: &rustls::Connection| tls.peer_certificates().map(<[_]>::to_vec);
        let certificates = self.with_rustls(certificates).ok().flatten();
        certificates.map(|all| all.into_iter().map(CertificateDer::into_owned).collect())
    }

    /// Returns the name that the client asked for. A client's own connection has none.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        let name = |tls: &rustls::Connection| match tls {
            rustls::Connection::Server(server) => server.server_name().map(str::to_owned),
            rustls::Connection::Client(_) => None,
        };
        self.with_rustls(name).ok().flatten()
    }

    /// Passes the session to `look`: its version, its cipher suite, and so on.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] within a callback that borrows the session.
    pub fn with_rustls<R>(&self, look: impl FnOnce(&rustls::Connection) -> R) -> Result<R, WaitError> {
        self.session().map(|session| look(&session.tls))
    }

    /// Receives into `buffer`, and returns the number of bytes; 0 means the end of the stream, which the peer has
    /// announced, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Ended`] if the connection ends and the peer has not announced it, [`Error::Protocol`] if the
    /// peer's bytes are invalid, and fails as [`Conn::recv`] does.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|context| self.poll_recv(context, buffer)).await
    }

    /// Receives exactly `buffer.len()` bytes. A dropped operation may have received some of them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Ended`] if the stream ends before, and fails as [`recv`](Self::recv) does.
    pub async fn recv_exact(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut received = 0;
        while received < buffer.len() {
            match self.recv(&mut buffer[received..]).await? {
                0 => return Err(Error::Ended),
                count => received += count,
            }
        }
        Ok(())
    }

    /// Waits until bytes are available, and passes some of them to `take` without a copy. An empty slice means the end
    /// of the stream. Within `take`, operations of this connection fail with [`WaitError::Elsewhere`].
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does.
    pub async fn recv_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.readable().await?;
        Ok(self.session()?.take(usize::MAX, |bytes| (bytes.len(), take(bytes))))
    }

    /// Receives the bytes that are available now; 0 means the end of the stream, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does, and with [`IoError::WouldBlock`] if no bytes are available.
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while !self.is_readable()? {
            let fed =
                self.conn.try_recv_with(|bytes| self.session().map(|mut session| session.feed(bytes)))??;
            self.fed(fed)?;
        }
        Ok(self.session()?.read(buffer))
    }

    /// Waits until bytes are available, or the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does.
    pub async fn readable(&self) -> Result<(), Error> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// Waits until the connection has ended in both directions, as [`Conn::hangup`] does.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn hangup(&self) -> Result<(), Error> {
        self.conn.hangup().await
    }

    /// Receives lines through `buffer`, as [`Conn::lines`] does.
    #[must_use]
    pub const fn lines<B: AsRef<[u8]> + AsMut<[u8]>>(&self, buffer: B) -> Lines<&Self, B> {
        Lines::new(self, buffer)
    }

    /// Sends bytes from the front of `bytes`, up to 16 KiB, and returns their number. A dropped operation may have
    /// accepted them: the next one sends them.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::send`] does.
    pub async fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        let _claim = self.claim()?;
        let sent = poll_fn(|context| self.poll_send(context, bytes)).await?;
        self.flush().await?;
        Ok(sent)
    }

    /// Sends all of `bytes`. While the operation waits, other send operations are refused with [`WaitError::Busy`].
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::send_all`] does.
    pub async fn send_all(&self, bytes: &[u8]) -> Result<(), Error> {
        let _claim = self.claim()?;
        ByteStream::send_all(self, bytes).await
    }

    /// Sends the bytes that polls, or a dropped operation, have accepted.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::send`] does.
    pub async fn flush(&self) -> Result<(), Error> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Announces the end of the stream to the peer (`close_notify`), and ends the sending direction. The peer can still
    /// answer.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::send`] and [`Conn::shutdown`] do.
    pub async fn shutdown(&self) -> Result<(), Error> {
        poll_fn(|context| self.poll_shutdown(context)).await
    }

    /// Receives into `buffer` as [`recv`](Self::recv) does, or registers a wait of the task, as [`Conn::poll_recv`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does.
    pub fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_fill(context))?;
        Poll::Ready(Ok(self.session()?.read(buffer)))
    }

    /// Waits until bytes are available, or the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does.
    pub fn poll_recv_ready(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_fill(context)
    }

    /// Accepts bytes from the front of `bytes`, up to 16 KiB, or registers a wait of the task. Returns their number,
    /// which is 0 only if `bytes` is empty. They are sent at once as far as the connection accepts them;
    /// [`poll_flush`](Self::poll_flush) sends the rest.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::poll_send`] does.
    pub fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        ready!(self.poll_flush(context))?;
        let count = {
            let mut session = self.session()?;
            if session.is_closing || session.has_failed() {
                return Poll::Ready(Err(self.failed(Op::Send, IoError::Closed)));
            }
            session.write(bytes)
        };
        match self.poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    /// Sends the bytes that were accepted, or registers a wait of the task.
    ///
    /// # Errors
    ///
    /// Fails as [`Conn::poll_send`] does.
    pub fn poll_flush(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut session = self.session()?;
        while session.tls.wants_write() {
            let mut output =
                Output { poll: |bytes: &[u8]| self.conn.poll_send(context, bytes), failed: None };
            if session.tls.write_tls(&mut output).is_err() {
                return output.failed.map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Announces the end of the stream and ends the sending direction, as [`shutdown`](Self::shutdown) does, or
    /// registers a wait of the task.
    ///
    /// # Errors
    ///
    /// Fails as [`shutdown`](Self::shutdown) does.
    pub fn poll_shutdown(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        self.session()?.close();
        ready!(self.poll_flush(context))?;
        Poll::Ready(self.shut())
    }

    /// Ends the sending direction of the connection, once.
    fn shut(&self) -> Result<(), Error> {
        let mut session = self.session()?;
        if !session.is_shut {
            self.conn.shutdown()?;
            session.is_shut = true;
        }
        Ok(())
    }

    /// Waits until bytes are decrypted, or until the end of the stream.
    pub(super) fn poll_fill(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        while !self.is_readable()? {
            let feed = |bytes: &[u8]| self.session().map(|mut session| session.feed(bytes));
            let fed = ready!(self.conn.poll_recv_with(context, usize::MAX, feed))??;
            self.fed(fed)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns true if decrypted bytes, or the end of the stream, can be read.
    fn is_readable(&self) -> Result<bool, Error> {
        loop {
            let mut session = self.session()?;
            match session.readable() {
                Readable::Bytes | Readable::End => return Ok(true),
                Readable::Truncated => return Err(Error::Ended),
                Readable::Nothing if session.has_failed() => return Err(Error::Protocol),
                Readable::Nothing => {}
            }
            let fed = session.feed_rest();
            drop(session);
            match fed {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => self.fed(Err(error))?,
            }
        }
    }

    /// Sends what the received bytes caused, as far as the connection accepts it at once: an alert, for example.
    fn fed(&self, fed: Result<(), rustls::Error>) -> Result<(), Error> {
        self.flush_now();
        fed.map_err(|error| {
            tracing::debug!(peer = ?self.peer(), %error, "the TLS session failed");
            Error::Protocol
        })
    }

    /// Sends what is to be sent, as far as the connection accepts it at once. Other operations report errors.
    pub(super) fn flush_now(&self) {
        let Ok(mut session) = self.session() else { return };
        let try_send = |bytes: &[u8]| match self.conn.try_send(bytes) {
            Ok(0) => Poll::Pending,
            sent => Poll::Ready(sent),
        };
        while session.tls.wants_write() {
            let mut output = Output { poll: try_send, failed: None };
            if session.tls.write_tls(&mut output).is_err() {
                return;
            }
        }
        let is_to_shut = session.is_closing && !session.is_shut;
        drop(session);
        if is_to_shut {
            self.shut().ok();
        }
    }

    fn claim(&self) -> Result<Claim<'_>, WaitError> {
        if self.is_sending.replace(true) { Err(WaitError::Busy) } else { Ok(Claim(&self.is_sending)) }
    }

    fn failed(&self, op: Op, error: IoError) -> Error {
        Error::Failed(Failure { op, source: self.conn.source(), error })
    }
}

/// A guard of the right to send.
struct Claim<'a>(&'a Cell<bool>);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The number of bytes up to which several pieces are sent by one call.
const SMALL: usize = 4096;

/// The writer to which `rustls` passes encrypted bytes.
struct Output<F> {
    poll: F,
    failed: Option<Error>,
}

impl<F: FnMut(&[u8]) -> Poll<Result<usize, Error>>> io::Write for Output<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (self.poll)(bytes) {
            Poll::Ready(Ok(count)) => Ok(count),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(Err(error)) => {
                self.failed = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    /// Sends small pieces together. The messages of a handshake are a few, and would otherwise be a packet each.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
        if pieces.len() == 1 || first.len() > SMALL {
            return self.write(first);
        }
        let mut small = [0; SMALL];
        let mut len = 0;
        for piece in pieces {
            let count = piece.len().min(SMALL - len);
            small[len..len + count].copy_from_slice(&piece[..count]);
            len += count;
        }
        self.write(&small[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ByteSource for TlsConn<'_> {
    fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        Self::poll_recv(self, context, buffer)
    }
}

impl<'d> ByteStream<'d> for TlsConn<'d> {
    fn handle(&self) -> Handle<'d> {
        Self::handle(self)
    }

    fn poll_recv_with<R>(
        &self,
        context: &Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R, Error>> {
        ready!(self.poll_fill(context))?;
        Poll::Ready(Ok(self.session()?.take(limit, |bytes| (bytes.len(), take(bytes)))))
    }

    fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        Self::poll_send(self, context, bytes)
    }

    fn poll_flush(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_flush(self, context)
    }

    fn poll_shutdown(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_shutdown(self, context)
    }

    fn alpn(&self) -> Option<Vec<u8>> {
        Self::alpn(self)
    }
}

impl AsRef<Self> for TlsConn<'_> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl std::fmt::Debug for TlsConn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConn").field("source", &self.conn.source()).finish_non_exhaustive()
    }
}
