//! Copying from one connection to another.

use core::future::poll_fn;
use core::task::{Context, Poll, ready};

use crate::exec::buffers::BufferedBytes;
use crate::kernel::error::Op;
use crate::kernel::step::WaitTarget;
use crate::task::conn::polling::some;
use crate::task::conn::{Conn, Receiving, SENDING, Waiting};
use crate::task::error::{Error, WaitError};
use crate::task::kept::Kept;
use crate::task::run_context::Ops;

/// Copies all bytes from one connection to another, up to the end of the stream, and returns their number. Does not end
/// the sending direction of `to`. Both connections, or halves of them, must belong to the same loop.
///
/// The task needs no buffer: bytes pass through the shared buffer of the loop, and those that `to` does not accept at
/// once occupy a block of the loop's pool. No more bytes are received until they are sent. While the copy runs, other
/// send operations of `to` are refused. A dropped copy may lose bytes that it has received.
///
/// # Errors
///
/// Fails as [`Conn::recv`] and [`Conn::send_all`] do.
pub async fn copy<'d>(from: impl AsRef<Conn<'d>>, to: impl AsRef<Conn<'d>>) -> Result<u64, Error> {
    let mut copying = Copying::new(from.as_ref(), to.as_ref())?;
    poll_fn(|context| copying.poll(context)).await
}

/// Copies in both directions between two connections, until both directions have ended. Where one connection has sent
/// its last byte, the sending direction of the other is ended. Returns the number of bytes from `a` to `b`, and from
/// `b` to `a`.
///
/// Otherwise behaves as [`copy`] does. The directions share the steps of the task, so that neither starves the other.
///
/// # Errors
///
/// Fails with the first error of either direction: as [`Conn::recv`], [`Conn::send_all`] and [`Conn::shutdown`] do.
///
/// ```
/// use std::net::SocketAddr;
///
/// use sinbin_core::task::{Conn, Error, copy_bidirectional};
///
/// /// Forwards a connection to another server.
/// async fn forward(client: Conn<'_>, server: SocketAddr) -> Result<(), Error> {
///     let server = client.handle().connect(server).await?;
///     copy_bidirectional(&client, &server).await?;
///     Ok(())
/// }
/// ```
pub async fn copy_bidirectional<'d>(
    a: impl AsRef<Conn<'d>>,
    b: impl AsRef<Conn<'d>>,
) -> Result<(u64, u64), Error> {
    let (a, b) = (a.as_ref(), b.as_ref());
    let mut there = Direction { copying: Copying::new(a, b)?, ended: false };
    let mut back = Direction { copying: Copying::new(b, a)?, ended: false };
    poll_fn(|context| {
        // Both directions are polled, regardless of the result of the first poll.
        match (there.poll(context)?, back.poll(context)?) {
            (Poll::Ready(there), Poll::Ready(back)) => Poll::Ready(Ok((there, back))),
            _ => Poll::Pending,
        }
    })
    .await
}

/// A direction of [`copy_bidirectional`].
struct Direction<'a, 'd> {
    copying: Copying<'a, 'd>,
    /// True if the sending direction of the target has been ended.
    ended: bool,
}

impl Direction<'_, '_> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<u64, Error>> {
        if !self.ended {
            ready!(self.copying.poll(context))?;
            self.copying.to.shutdown()?;
            self.ended = true;
        }
        Poll::Ready(Ok(self.copying.count))
    }
}

struct Copying<'a, 'd> {
    receiving: Receiving<'a, 'd>,
    to: &'a Conn<'d>,
    /// The wait to send `rest`.
    wait: Waiting<'d>,
    /// The bytes that were received and not sent.
    rest: Kept<'d>,
    count: u64,
    ended: bool,
}

impl<'a, 'd> Copying<'a, 'd> {
    fn new(from: &'a Conn<'d>, to: &'a Conn<'d>) -> Result<Self, WaitError> {
        // The buffers and the host of one loop know the connections of that loop only.
        if !core::ptr::eq(from.handle.run_context(), to.handle.run_context()) {
            return Err(WaitError::Elsewhere);
        }
        to.check_free(SENDING)?;
        to.claim(SENDING);
        Ok(Self {
            receiving: Receiving::new(from),
            to,
            wait: Waiting::new(WaitTarget::Send(to.source())),
            rest: Kept::new(to.handle, BufferedBytes::EMPTY, false),
            count: 0,
            ended: false,
        })
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<u64, Error>> {
        let Self { receiving, to, wait, rest, count, ended } = self;
        let (from, target) = (receiving.source(), to.source());
        loop {
            while !rest.is_empty() {
                let send = |ops: &mut dyn Ops<'d>| some(ops.send_kept(target, rest.held()));
                let sent = ready!(to.poll_send_op(wait, context, send))?;
                rest.consume(sent);
                *count += sent as u64;
            }
            if *ended {
                return Poll::Ready(Ok(*count));
            }
            let forwarded = ready!(receiving.poll(context, |ops| {
                let forwarded = ops.forward(from, target)?;
                let drained = !forwarded.is_cut && forwarded.received > 0;
                Ok((forwarded, drained))
            }))?;
            *ended = forwarded.received == 0;
            *rest = Kept::new(to.handle, forwarded.rest, forwarded.is_cut);
            *count += forwarded.sent.map_err(|error| Error::of(Op::Send, target, error))? as u64;
        }
    }
}

impl Drop for Copying<'_, '_> {
    fn drop(&mut self) {
        self.to.release(SENDING);
    }
}
