//! Copying between connections of which at least one may have TLS.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use sinbin_core::task::{self, Conn, Error};

use crate::byte_stream::ByteStream;
use crate::tls::conn::TlsConn;

/// A connection with or without TLS, from which or to which bytes are copied.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a, 'd> {
    /// A connection without TLS.
    Plain(&'a Conn<'d>),
    /// A connection with TLS.
    Tls(&'a TlsConn<'d>),
}

impl<'a, 'd> From<&'a Conn<'d>> for Side<'a, 'd> {
    fn from(conn: &'a Conn<'d>) -> Self {
        Self::Plain(conn)
    }
}

impl<'a, 'd> From<&'a TlsConn<'d>> for Side<'a, 'd> {
    fn from(conn: &'a TlsConn<'d>) -> Self {
        Self::Tls(conn)
    }
}

/// Copies all bytes from one connection to another, up to the end of the stream, and returns their number. Does not end
/// the sending direction of `to`.
///
/// The task needs no buffer: encrypted bytes pass between the shared buffer of the loop and the session, which holds one
/// record at a time. A dropped copy may lose bytes that it has received.
///
/// # Errors
///
/// Fails as [`TlsConn::recv`] and [`TlsConn::send_all`] do. A stream that was truncated is an error, after the bytes that
/// were received.
pub async fn copy<'a, 'd: 'a>(
    from: impl Into<Side<'a, 'd>>,
    to: impl Into<Side<'a, 'd>>,
) -> Result<u64, Error> {
    let (from, to) = (from.into(), to.into());
    if let (Side::Plain(from), Side::Plain(to)) = (from, to) {
        return task::copy(from, to).await;
    }
    let mut direction = Direction::new(from, to);
    poll_fn(|context| direction.poll_copy(context)).await
}

/// Copies in both directions between two connections, until both directions have ended, as
/// [`task::copy_bidirectional`] does. Where one side has announced its end, the end is announced to the other.
///
/// # Errors
///
/// Fails with the first error of either direction: as [`copy`] and [`TlsConn::shutdown`] do.
pub async fn copy_bidirectional<'a, 'd: 'a>(
    a: impl Into<Side<'a, 'd>>,
    b: impl Into<Side<'a, 'd>>,
) -> Result<(u64, u64), Error> {
    let (a, b) = (a.into(), b.into());
    if let (Side::Plain(a), Side::Plain(b)) = (a, b) {
        return task::copy_bidirectional(a, b).await;
    }
    let (mut there, mut back) = (Direction::new(a, b), Direction::new(b, a));
    poll_fn(|context| {
        // Both directions are polled, regardless of the result of the first poll.
        match (there.poll(context)?, back.poll(context)?) {
            (Poll::Ready(there), Poll::Ready(back)) => Poll::Ready(Ok((there, back))),
            _ => Poll::Pending,
        }
    })
    .await
}

struct Direction<'a, 'd> {
    from: Side<'a, 'd>,
    to: Side<'a, 'd>,
    count: u64,
    /// True if `from` has ended.
    ended: bool,
    /// True if the sending direction of `to` was ended.
    shut: bool,
}

impl<'a, 'd> Direction<'a, 'd> {
    const fn new(from: Side<'a, 'd>, to: Side<'a, 'd>) -> Self {
        Self { from, to, count: 0, ended: false, shut: false }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<u64, Error>> {
        if !self.shut {
            ready!(self.poll_copy(context))?;
            ready!(match self.to {
                Side::Plain(to) => to.poll_shutdown(context),
                Side::Tls(to) => to.poll_shutdown(context),
            })?;
            self.shut = true;
        }
        Poll::Ready(Ok(self.count))
    }

    fn poll_copy(&mut self, context: &Context<'_>) -> Poll<Result<u64, Error>> {
        loop {
            // Nothing is received before everything is sent.
            if let Side::Tls(to) = self.to {
                ready!(to.poll_flush(context))?;
            }
            if self.ended {
                return Poll::Ready(Ok(self.count));
            }
            let moved = ready!(self.poll_move(context))?;
            self.ended = moved == 0;
            self.count += moved as u64;
        }
    }

    /// Moves some bytes, and returns their number; 0 means the end of the stream.
    fn poll_move(&self, context: &Context<'_>) -> Poll<Result<usize, Error>> {
        match (self.from, self.to) {
            (Side::Tls(from), Side::Plain(to)) => {
                ready!(from.poll_fill(context))?;
                // The session keeps the bytes that the connection does not accept.
                from.session()?.take(usize::MAX, |bytes| match to.poll_send(context, bytes) {
                    Poll::Ready(Ok(sent)) => (sent, Poll::Ready(Ok(sent))),
                    waits_or_failed => (0, waits_or_failed),
                })
            }
            (Side::Tls(from), Side::Tls(to)) => {
                ready!(from.poll_fill(context))?;
                from.session()?.take(usize::MAX, |bytes| match to.session() {
                    Ok(mut session) => {
                        let count = session.write(bytes);
                        (count, Poll::Ready(Ok(count)))
                    }
                    Err(refused) => (0, Poll::Ready(Err(refused.into()))),
                })
            }
            (Side::Plain(from), Side::Tls(to)) => {
                // A session that has sent everything accepts a whole record.
                let write = |bytes: &[u8]| to.session().map(|mut session| session.write(bytes));
                let written = ready!(from.poll_recv_with(context, super::session::RECORD, write))?;
                Poll::Ready(written.map_err(Error::from))
            }
            (Side::Plain(_), Side::Plain(_)) => unreachable!("such copies need no session"),
        }
    }
}
