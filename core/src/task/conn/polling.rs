//! Polling a connection directly, for implementations of the traits of other crates.

use core::task::{Context, Poll};

use crate::kernel::error::{IoError, Op};
use crate::kernel::step::{WaitKey, WaitTarget};
use crate::task::conn::{Conn, RECEIVING, RECV_POLLS_AT, SEND_POLLS_AT, SENDING, SKIPS, Waited, Waiting};
use crate::task::error::Error;
use crate::task::run_context::{Catches, Ops};

/// The polls of one direction: its wait, and where the connection stores the state of the wait.
struct Direction {
    target: WaitTarget,
    at: u32,
}

/// The highest number that is stored for a direction, and its mask.
const LAST: u8 = 3;

/// Polls for implementations of the traits of other crates. In an `async fn`, use [`recv`](Self::recv) and
/// [`send`](Self::send).
///
/// A poll that returns pending registers a wait of the running task, as the futures do. The connection remembers that
/// the direction waits, so that each later poll continues this wait, whichever task or future makes the poll. The
/// kernel waits as long as each step of the task polls the direction again: a wait that a step does not renew has
/// ended. One task can receive by polls and send by polls at once. A poll is refused with [`WaitError::Busy`] while a
/// future of [`recv`](Self::recv) or [`send_all`](Self::send_all) is in the middle of the same direction. Without a heap,
/// a poll is also refused if an executor within the task makes it with a waker of its own ([`WaitError::Wrapped`]).
///
/// [`WaitError::Busy`]: crate::task::WaitError::Busy
/// [`WaitError::Wrapped`]: crate::task::WaitError::Wrapped
///
/// ```
/// use std::future::poll_fn;
/// use std::task::{Context, Poll, ready};
///
/// use sinbin_core::task::{Conn, Error};
///
/// /// A protocol that is written as a state machine reads four bytes, and then answers.
/// struct Head<'d> {
///     conn: Conn<'d>,
///     bytes: [u8; 4],
///     received: usize,
/// }
///
/// impl Head<'_> {
///     fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<[u8; 4], Error>> {
///         while self.received < 4 {
///             match ready!(self.conn.poll_recv(context, &mut self.bytes[self.received..]))? {
///                 0 => return Poll::Ready(Err(Error::Closed)),
///                 count => self.received += count,
///             }
///         }
///         Poll::Ready(Ok(self.bytes))
///     }
/// }
///
/// async fn serve(conn: Conn<'_>) -> Result<(), Error> {
///     let mut head = Head { conn, bytes: [0; 4], received: 0 };
///     let bytes = poll_fn(|context| head.poll_read(context)).await?;
///     head.conn.send_all(&bytes).await
/// }
/// ```
impl<'d> Conn<'d> {
    const fn recv_direction(&self) -> Direction {
        Direction { target: WaitTarget::Recv(self.source()), at: RECV_POLLS_AT }
    }

    const fn send_direction(&self) -> Direction {
        Direction { target: WaitTarget::Send(self.source()), at: SEND_POLLS_AT }
    }

    /// Calls `poll` with the wait that the polls of a direction continue, and stores its state.
    #[inline]
    fn poll_kept<R>(&self, direction: &Direction, poll: impl FnOnce(&mut Waiting<'d>) -> R) -> R {
        /// The number of skips of a wait whose stored number is 1. The highest number stands for [`SKIPS`].
        const FIRST: u8 = SKIPS + 1 - LAST;
        let Direction { target, at } = *direction;
        let stored = u8::try_from(self.source.get() >> at & u64::from(LAST)).unwrap_or(0);
        let left = (stored > 0).then_some(self.handle);
        let (run_context, skips) = (self.handle.run_context(), FIRST + stored.saturating_sub(1));
        let mut wait = Waiting { target, left, step: run_context.step_number(), skips };
        let polled = poll(&mut wait);
        // A wait that has not ended counts a skip. After one that has, further polls in this step begin another wait, which
        // the same event must not end.
        if stored > 0 && (wait.skips == skips || wait.left.is_none()) {
            run_context.use_up(WaitKey::new(target).wait_slot);
        }
        let stored = match wait.left.take() {
            None => 0,
            // The operation was attempted, or has to be attempted in a later step: the count starts again.
            Some(_) if wait.skips > SKIPS => 1,
            Some(_) => u64::from(wait.skips - FIRST) + 1,
        };
        self.source.set(self.source.get() & !(u64::from(LAST) << at) | stored << at);
        polled
    }

    /// Receives into `buffer` as [`recv`](Self::recv) does, or registers a wait of the task. Returns the number of
    /// bytes; 0 means the end of the stream, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does.
    #[inline]
    pub fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_recv_kept(context, |ops| {
            let count = ops.recv(self.source(), buffer)?;
            Ok((count, count < buffer.len() && count > 0))
        })
    }

    /// Receives up to `limit` bytes into the shared buffer of the loop and passes them to `take`, as
    /// [`recv_with`](Self::recv_with) does, or registers a wait of the task. The limit must not be 0. An empty slice means
    /// the end of the stream. The copy into a buffer whose memory is not initialized needs no unsafe code this way.
    ///
    /// # Errors
    ///
    /// Fails as [`recv_with`](Self::recv_with) does.
    #[inline]
    pub fn poll_recv_with<R>(
        &self,
        context: &Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R, Error>> {
        let _catches = Catches(self.handle.run_context());
        self.poll_recv_kept(context, |ops| {
            let (bytes, is_cut) = ops.read(self.source(), limit)?;
            let drained = !is_cut && !bytes.is_empty();
            Ok((take(bytes), drained))
        })
    }

    /// Polls an operation that receives as `poll_recv_op` does, with the wait that the polls continue.
    #[inline]
    pub(crate) fn poll_recv_kept<R>(
        &self,
        context: &Context<'_>,
        attempt: impl FnOnce(&mut dyn Ops<'d>) -> Result<(R, bool), IoError>,
    ) -> Poll<Result<R, Error>> {
        self.check_free(RECEIVING)?;
        self.poll_kept(&self.recv_direction(), |wait| self.poll_recv_op(wait, context, attempt))
    }

    /// Sends as many bytes from the front of `bytes` as the host accepts, as [`send`](Self::send) does, or registers a
    /// wait of the task. Returns the number of bytes that were sent, which is 0 only if `bytes` is empty.
    ///
    /// # Errors
    ///
    /// Fails as [`send`](Self::send) does.
    #[inline]
    pub fn poll_send(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.check_free(SENDING)?;
        self.poll_kept(&self.send_direction(), |wait| {
            self.poll_send_op(wait, context, |ops| some(ops.send(self.source(), bytes)))
        })
    }

    /// Waits until bytes are available, or the end of the stream, as [`readable`](Self::readable) does.
    ///
    /// # Errors
    ///
    /// Fails as [`readable`](Self::readable) does.
    #[inline]
    pub fn poll_recv_ready(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_kept(&self.recv_direction(), |wait| self.poll_ready(wait, context))
    }

    /// Waits until the connection can accept bytes to send, as [`writable`](Self::writable) does.
    ///
    /// # Errors
    ///
    /// Fails as [`writable`](Self::writable) does.
    #[inline]
    pub fn poll_send_ready(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_kept(&self.send_direction(), |wait| self.poll_ready(wait, context))
    }

    /// Polls an operation that sends: attempts it, unless the task runs for another reason than that wait, and waits if
    /// it would block.
    #[inline]
    pub(crate) fn poll_send_op<R>(
        &self,
        wait: &mut Waiting<'d>,
        context: &Context<'_>,
        attempt: impl FnOnce(&mut dyn Ops<'d>) -> Result<R, IoError>,
    ) -> Poll<Result<R, Error>> {
        let run_context = self.handle.run_context();
        if wait.check()? != Waited::Still {
            if !run_context.spend(context)? {
                return Poll::Pending;
            }
            match run_context.with(attempt)? {
                Err(IoError::WouldBlock) => {}
                Ok(count) => {
                    wait.end();
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(Error::of(Op::Send, self.source(), error))),
            }
        }
        wait.wait(self.handle, context).map(|refused| Err(refused.into()))
    }
}

/// Returns the result of a send operation, or [`IoError::WouldBlock`] if it has sent no byte.
#[inline]
pub(crate) fn some(sent: Result<usize, IoError>) -> Result<usize, IoError> {
    if sent == Ok(0) { Err(IoError::WouldBlock) } else { sent }
}
