//! Connections.

use core::cell::Cell;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::kernel::error::{IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::slab::MAX_LEN;
use crate::kernel::step::{WaitKey, WaitTarget, WakeReason};
use crate::kernel::wait_slot::WaitSlot;
use crate::task::deferred::Deferred;
#[cfg(feature = "alloc")]
use crate::task::endpoint::Endpoint;
use crate::task::error::{Error, WaitError};
use crate::task::handle::{Handle, begin};
use crate::task::kept::Kept;
use crate::task::run_context::{Catches, Ops};

pub(crate) mod by;
pub(crate) mod copy;
mod polling;

/// A connection that a task serves or has opened. Dropping it closes the connection; data that was sent is still
/// delivered.
///
/// The operations take a shared reference: one task can receive while another sends, or one task can do both at once
/// with [`join`](crate::task::join). While an operation waits to receive, or is in the middle of sending, any other
/// operation in the same direction fails with [`WaitError::Busy`] before it has received or sent a byte, even in the
/// same task. The bytes of one call therefore arrive in one piece. A dropped operation no longer blocks others.
pub struct Conn<'d> {
    handle: Handle<'d>,
    /// The bits of the id, combined with the flags below.
    source: Cell<u64>,
}

/// Flag: the last read received all available bytes. The next read waits first, which saves a call to the host. This
/// flag and the fields below use the highest bits of the id's index, which no index is large enough to reach.
const DRAINED: u64 = 1 << 31;

/// Flag: an operation waits to receive; other receive operations are refused.
const RECEIVING: u64 = 1 << 30;

/// Flag: an operation waits in the middle of sending; other send operations are refused.
const SENDING: u64 = 1 << 29;

/// A field of two bits: the wait to receive that [`Conn::poll_recv`] keeps between polls. 0 means that none exists;
/// otherwise, a number that grows when the task runs for another reason.
const RECV_POLLS: u64 = 3 << RECV_POLLS_AT;
const RECV_POLLS_AT: u32 = 27;

/// A field like [`RECV_POLLS`], for [`Conn::poll_send`].
const SEND_POLLS: u64 = 3 << SEND_POLLS_AT;
const SEND_POLLS_AT: u32 = 25;

const FLAGS: u64 = DRAINED | RECEIVING | SENDING | RECV_POLLS | SEND_POLLS;

const _: () = assert!(MAX_LEN as u64 & FLAGS == 0, "no index reaches the flags");

impl<'d> Conn<'d> {
    /// Creates the connection that the loop's host knows as `source`. Dropping this value closes it.
    #[must_use]
    pub const fn new(handle: Handle<'d>, source: SourceId) -> Self {
        Self { handle, source: Cell::new(source.to_bits() & !FLAGS) }
    }

    /// Returns the id of the source.
    #[must_use]
    #[inline]
    pub const fn source(&self) -> SourceId {
        SourceId::from_bits(self.source.get() & !FLAGS)
    }

    /// Returns the loop that the connection belongs to.
    #[must_use]
    #[inline]
    pub const fn handle(&self) -> Handle<'d> {
        self.handle
    }

    /// Returns the address of the peer, if the host knows it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.handle.run_context().with(|ops| ops.peer(self.source())).ok().flatten()
    }

    #[inline]
    fn is_drained(&self) -> bool {
        self.source.get() & DRAINED != 0
    }

    /// Records whether the completed read received all available bytes, and releases the claim to receive.
    #[inline]
    fn set_drained(&self, drained: bool) {
        let bits = self.source.get() & !(DRAINED | RECEIVING | RECV_POLLS);
        self.source.set(if drained { bits | DRAINED } else { bits });
    }

    /// Fails if another operation in this direction is in progress, since the bytes of both would mix.
    #[inline]
    fn check_free(&self, direction: u64) -> Result<(), WaitError> {
        if self.source.get() & direction == 0 { Ok(()) } else { Err(WaitError::Busy) }
    }

    #[inline]
    fn claim(&self, direction: u64) {
        self.source.set(self.source.get() | direction);
    }

    #[inline]
    fn release(&self, direction: u64) {
        self.source.set(self.source.get() & !direction);
    }

    /// Receives into `buffer`, and returns the number of bytes; 0 means the end of the stream, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::Reset`] if the peer has reset the connection, [`IoError::Stopping`] if
    /// the host is stopping and no bytes are available. Returns a [`WaitError`] if the task must not wait.
    #[inline]
    pub const fn recv<'a>(&'a self, buffer: &'a mut [u8]) -> Recv<'a, 'd> {
        Recv { receiving: Receiving::new(self), buffer }
    }

    /// Sends as many bytes from the front of `bytes` as the host accepts, and returns their number.
    ///
    /// # Errors
    ///
    /// Fails with the host's error.
    pub async fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        let mut send = SendAll {
            conn: self,
            bytes,
            sent: 0,
            all: false,
            wait: Waiting::new(WaitTarget::Send(self.source())),
        };
        (&mut send).await?;
        Ok(send.sent)
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// Fails with the host's error.
    #[inline]
    pub const fn send_all<'a>(&'a self, bytes: &'a [u8]) -> SendAll<'a, 'd> {
        SendAll { conn: self, bytes, sent: 0, all: true, wait: Waiting::new(WaitTarget::Send(self.source())) }
    }

    /// Receives the bytes that are available now; 0 means the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::WouldBlock`] if no bytes are available.
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.check_free(RECEIVING)?;
        let received = self.handle.run_context().with(|ops| ops.recv(self.source(), buffer))?;
        let count = received.map_err(|error| Error::of(Op::Recv, self.source(), error))?;
        self.set_drained(count < buffer.len() && count > 0);
        Ok(count)
    }

    /// Waits until bytes are available, and passes them to `take` as [`try_recv_with`](Self::try_recv_with) does. A
    /// task that waits for input needs no buffer.
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::Stopping`] if the host is stopping and no bytes are available. Returns a
    /// [`WaitError`] if the task must not wait.
    pub async fn recv_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        let mut take = Some(take);
        let mut receiving = Receiving::new(self);
        loop {
            let taken = poll_fn(|context| {
                let _catches = Catches(self.handle.run_context());
                receiving.poll(context, |ops| {
                    let (bytes, is_cut) = ops.read(self.source(), usize::MAX)?;
                    let drained = !is_cut && !bytes.is_empty();
                    Ok((take.take().map(|take| take(bytes)), drained))
                })
            });
            if let Some(taken) = taken.await? {
                return Ok(taken);
            }
        }
    }

    /// Receives the bytes that are available now into the shared buffer of the loop, which has the size of one block of
    /// its storage, and passes them to `take`. The task needs no buffer of its own. An empty slice means the end of the
    /// stream. Within `take`, operations of the loop fail with [`WaitError::Elsewhere`]. Resources that are dropped
    /// there are released when `take` returns.
    ///
    /// Bytes that `take` copies elsewhere do not count towards the loop's bound on buffered bytes: see
    /// [`try_recv_kept`](Self::try_recv_kept).
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::WouldBlock`] if no bytes are available.
    pub fn try_recv_with<R>(&self, take: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.check_free(RECEIVING)?;
        let _catches = Catches(self.handle.run_context());
        let taken = self.handle.run_context().with(|ops| {
            let (bytes, is_cut) = ops.read(self.source(), usize::MAX)?;
            Ok((!is_cut && !bytes.is_empty(), take(bytes)))
        })?;
        let (drained, taken) = taken.map_err(|error| Error::of(Op::Recv, self.source(), error))?;
        self.set_drained(drained);
        Ok(taken)
    }

    /// Receives the bytes that are available now, up to what the loop can buffer, and keeps them. Bytes that outlive a
    /// step count towards the loop's bound this way. An empty result means the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::WouldBlock`] if no bytes are available.
    pub fn try_recv_kept(&self) -> Result<Kept<'d>, Error> {
        self.check_free(RECEIVING)?;
        let received = self.handle.run_context().with(|ops| ops.read_kept(self.source()))?;
        let (held, is_cut) = received.map_err(|error| Error::of(Op::Recv, self.source(), error))?;
        Ok(Kept::new(self.handle, held, is_cut))
    }

    /// Sends as many bytes from the front of `bytes` as the host accepts now, and returns their number; 0 if the host
    /// accepts none.
    ///
    /// # Errors
    ///
    /// Fails with the host's error.
    pub fn try_send(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.check_free(SENDING)?;
        match self.handle.run_context().with(|ops| ops.send(self.source(), bytes))? {
            Err(IoError::WouldBlock) => Ok(0),
            sent => sent.map_err(|error| Error::of(Op::Send, self.source(), error)),
        }
    }

    /// Waits until bytes are available, or the end of the stream. A task that waits here needs no buffer yet.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    #[inline]
    pub const fn readable<'a>(&'a self) -> Ready<'a, 'd> {
        Ready { conn: self, wait: Waiting::new(WaitTarget::Recv(self.source())) }
    }

    /// Waits until the connection can accept bytes to send.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    #[inline]
    pub const fn writable<'a>(&'a self) -> Ready<'a, 'd> {
        Ready { conn: self, wait: Waiting::new(WaitTarget::Send(self.source())) }
    }

    /// Waits until the connection has ended in both directions; the exceptional set of `select`.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub const fn hangup<'a>(&'a self) -> Ready<'a, 'd> {
        Ready { conn: self, wait: Waiting::new(WaitTarget::Hangup(self.source())) }
    }

    /// Ends the sending direction: the peer reads the end of the stream, and can still reply.
    ///
    /// # Errors
    ///
    /// Fails with the host's error.
    pub fn shutdown(&self) -> Result<(), Error> {
        let shut = self.handle.run_context().with(|ops| ops.shutdown(self.source()))?;
        shut.map_err(|error| Error::of(Op::Shutdown, self.source(), error))
    }
}

impl<'d> Conn<'d> {
    /// Polls an operation that receives: attempts it, unless the last read received all bytes and no others have been
    /// reported, and waits if it would block. `attempt` also returns true if no further bytes are available.
    #[inline]
    fn poll_recv_op<R>(
        &self,
        wait: &mut Waiting<'d>,
        context: &Context<'_>,
        attempt: impl FnOnce(&mut dyn Ops<'d>) -> Result<(R, bool), IoError>,
    ) -> Poll<Result<R, Error>> {
        let run_context = self.handle.run_context();
        let tries = match wait.check()? {
            Waited::Not => {
                self.check_free(RECEIVING)?;
                !self.is_drained() || run_context.insists()
            }
            Waited::Still => false,
            Waited::Long | Waited::Over => true,
        };
        if tries {
            if !run_context.spend(context)? {
                return Poll::Pending;
            }
            match run_context.with(attempt)? {
                Ok((received, drained)) => {
                    self.set_drained(drained);
                    wait.end();
                    return Poll::Ready(Ok(received));
                }
                Err(IoError::WouldBlock) => {}
                Err(error) => return Poll::Ready(Err(Error::of(Op::Recv, self.source(), error))),
            }
        }
        wait.wait(self.handle, context).map(|refused| Err(refused.into()))
    }

    /// Polls the wait for a direction to become ready.
    #[inline]
    fn poll_ready(&self, wait: &mut Waiting<'d>, context: &Context<'_>) -> Poll<Result<(), Error>> {
        if !self.handle.run_context().is_open() {
            return Poll::Ready(Err(WaitError::Elsewhere.into()));
        }
        if wait.check()? == Waited::Over {
            wait.end();
            self.release(DRAINED);
            return Poll::Ready(Ok(()));
        }
        wait.wait(self.handle, context).map(|refused| Err(refused.into()))
    }
}

impl Drop for Conn<'_> {
    fn drop(&mut self) {
        let run_context = self.handle.run_context();
        run_context.give_back(Deferred::Close(self.source()));
        // Direct polls leave their waits behind.
        #[cfg(feature = "alloc")]
        if run_context.has_proxies() {
            run_context.withdraw_closed(self.source());
        }
    }
}

impl<'d> AsRef<Self> for Conn<'d> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl core::fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Conn").field("source", &self.source()).finish_non_exhaustive()
    }
}

/// The number of wakes for other reasons after which an operation polls its source itself. Other waits of the task may
/// have been reported first each time.
const SKIPS: u8 = 8;

/// The number of skips that stands for a wait whose proxy has told the end.
const TOLD: u8 = u8::MAX;

/// The wait of one future for one target.
pub(crate) struct Waiting<'d> {
    target: WaitTarget,
    /// The loop in whose run context a wait is registered, which has to be withdrawn.
    left: Option<Handle<'d>>,
    /// The step in which the wait was registered last.
    step: u32,
    skips: u8,
}

/// The state of a wait when its task runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    /// The wait has not begun.
    Not,
    /// The task runs for another reason.
    Still,
    /// The task has run for other reasons often, or a deadline has expired: the operation is to be attempted anyway.
    Long,
    /// The wait has ended.
    Over,
}

impl<'d> Waiting<'d> {
    #[inline]
    pub(crate) const fn new(target: WaitTarget) -> Self {
        Self { target, left: None, step: 0, skips: 0 }
    }

    /// Returns the state of the wait, now that the task runs.
    #[inline]
    pub(crate) fn check(&mut self) -> Result<Waited, WaitError> {
        let Some(handle) = self.left else { return Ok(Waited::Not) };
        let key = WaitKey::new(self.target);
        let (wake_reason, fired) = handle.run_context().wake_reason();
        if wake_reason == WakeReason::Ready && fired == key.wait_slot {
            return Ok(Waited::Over);
        }
        self.check_seldom(handle, key, wake_reason, fired)
    }

    /// Returns the state of the wait, now that the task runs for another reason than that the target is ready.
    #[inline(never)]
    fn check_seldom(
        &mut self,
        handle: Handle<'d>,
        key: WaitKey,
        wake_reason: WakeReason,
        fired: WaitSlot,
    ) -> Result<Waited, WaitError> {
        let run_context = handle.run_context();
        if self.skips == TOLD {
            self.skips = 0;
        }
        match key.outcome(wake_reason, fired) {
            Some(Ok(())) => return Ok(Waited::Over),
            Some(Err(_)) => return Err(WaitError::Busy),
            None => {}
        }
        #[cfg(feature = "alloc")]
        if run_context.has_proxies()
            && let Some(outcome) = run_context.take_outcome(key, self.step)
        {
            self.skips = TOLD;
            return outcome.map(|()| Waited::Over);
        }
        self.skips = self.skips.saturating_add(1).min(TOLD - 1);
        Ok(if self.skips > SKIPS || run_context.insists() { Waited::Long } else { Waited::Still })
    }

    #[inline]
    pub(crate) fn has_begun(&self) -> bool {
        self.left.is_some()
    }

    #[inline]
    pub(crate) fn wait(&mut self, handle: Handle<'d>, context: &Context<'_>) -> Poll<WaitError> {
        let left = handle.run_context().leave(self.target, context);
        #[cfg(feature = "alloc")]
        let left = match left {
            Poll::Ready(refused) => handle.wait_by_proxy(self.target, refused, context),
            Poll::Pending => Poll::Pending,
        };
        self.step = handle.run_context().step_number();
        self.left = left.is_pending().then_some(handle);
        left
    }

    #[inline]
    pub(crate) fn end(&mut self) {
        #[cfg(feature = "alloc")]
        if let Some(handle) = self.left
            && handle.run_context().has_proxies()
        {
            self.end_beside_proxies(handle);
        }
        self.left = None;
    }

    /// Ends the wait for which a proxy may still wait, unless the proxy has told the end.
    #[cfg(feature = "alloc")]
    #[cold]
    fn end_beside_proxies(&self, handle: Handle<'d>) {
        if self.skips != TOLD {
            handle.run_context().end_untold(WaitKey::new(self.target), self.step);
        }
    }
}

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(handle) = self.left {
            handle.run_context().retract(self.target, self.step);
        }
    }
}

/// The future returned by [`Conn::recv`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Recv<'a, 'd> {
    receiving: Receiving<'a, 'd>,
    buffer: &'a mut [u8],
}

impl Future for Recv<'_, '_> {
    type Output = Result<usize, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiving, buffer } = self.get_mut();
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let source = receiving.conn.source();
        receiving.poll(context, |ops| {
            let count = ops.recv(source, buffer)?;
            Ok((count, count < buffer.len() && count > 0))
        })
    }
}

/// A receive operation. While it waits, other receive operations are refused.
pub(crate) struct Receiving<'a, 'd> {
    conn: &'a Conn<'d>,
    wait: Waiting<'d>,
}

impl<'a, 'd> Receiving<'a, 'd> {
    #[inline]
    pub(crate) const fn new(conn: &'a Conn<'d>) -> Self {
        Self { conn, wait: Waiting::new(WaitTarget::Recv(conn.source())) }
    }

    #[inline]
    const fn source(&self) -> SourceId {
        self.conn.source()
    }

    /// Polls the operation: see [`Conn::poll_recv_op`].
    #[inline]
    pub(crate) fn poll<R>(
        &mut self,
        context: &Context<'_>,
        attempt: impl FnOnce(&mut dyn Ops<'d>) -> Result<(R, bool), IoError>,
    ) -> Poll<Result<R, Error>> {
        let Self { conn, wait } = self;
        let had_begun = wait.has_begun();
        let polled = conn.poll_recv_op(wait, context, attempt);
        match polled {
            Poll::Ready(Ok(_)) => {}
            Poll::Pending if wait.has_begun() => conn.claim(RECEIVING),
            Poll::Ready(Err(_)) if had_begun && !wait.has_begun() => conn.release(RECEIVING),
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for Receiving<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.wait.has_begun() {
            self.conn.release(RECEIVING);
        }
    }
}

/// The future returned by [`Conn::send_all`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendAll<'a, 'd> {
    conn: &'a Conn<'d>,
    bytes: &'a [u8],
    sent: usize,
    all: bool,
    wait: Waiting<'d>,
}

impl Future for SendAll<'_, '_> {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { conn, bytes, sent, all, wait } = self.get_mut();
        let run_context = conn.handle.run_context();
        if *sent == bytes.len() {
            return Poll::Ready(Ok(()));
        }
        let waited = wait.check()?;
        if waited == Waited::Not {
            conn.check_free(SENDING)?;
        }
        if waited != Waited::Still {
            if !run_context.spend(context)? {
                return Poll::Pending;
            }
            match run_context.with(|ops| ops.send(conn.source(), &bytes[*sent..]))? {
                Ok(count) => {
                    *sent += count;
                    if *sent == bytes.len() || (!*all && count > 0) {
                        if wait.has_begun() {
                            wait.end();
                            conn.release(SENDING);
                        }
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(IoError::WouldBlock) => {}
                Err(error) => return Poll::Ready(Err(Error::of(Op::Send, conn.source(), error))),
            }
        }
        match wait.wait(conn.handle, context) {
            Poll::Ready(refused) => {
                conn.release(SENDING);
                Poll::Ready(Err(refused.into()))
            }
            Poll::Pending => {
                conn.claim(SENDING);
                Poll::Pending
            }
        }
    }
}

impl Drop for SendAll<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if self.wait.has_begun() {
            self.conn.release(SENDING);
        }
    }
}

/// The future returned by [`Conn::readable`], [`Conn::writable`] and [`Conn::hangup`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Ready<'a, 'd> {
    conn: &'a Conn<'d>,
    wait: Waiting<'d>,
}

impl Future for Ready<'_, '_> {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { conn, wait } = self.get_mut();
        conn.poll_ready(wait, context)
    }
}

impl<'d> Handle<'d> {
    /// Connects to an address.
    pub(crate) async fn connect_address(self, address: SocketAddr) -> Result<Conn<'d>, Error> {
        let failed = |error| Error::Address { op: Op::Connect, address, error };
        begin(self).await?;
        let source = self.run_context().with(|ops| ops.connect(address))?;
        self.established(source.map_err(failed)?).await?.map_err(failed)
    }

    /// Connects to a name, if the host resolves names by itself. Returns `None` if it does not.
    #[cfg(feature = "alloc")]
    pub(crate) async fn connect_name(self, endpoint: Endpoint<'_>) -> Result<Option<Conn<'d>>, Error> {
        let Endpoint::Name { host, port } = endpoint else { return Ok(None) };
        let failed = |error| Error::endpoint(Op::Connect, endpoint, error);
        begin(self).await?;
        match self.run_context().with(|ops| ops.connect_name(host, port))? {
            Err(IoError::Unsupported) => Ok(None),
            source => self.established(source.map_err(failed)?).await?.map_err(failed).map(Some),
        }
    }

    /// Waits for the end of an attempt to connect.
    async fn established(self, source: SourceId) -> Result<Result<Conn<'d>, IoError>, Error> {
        let conn = Conn::new(self, source);
        loop {
            conn.writable().await?;
            match self.run_context().with(|ops| ops.connected(conn.source()))? {
                Err(IoError::WouldBlock) => {}
                outcome => return Ok(outcome.map(|()| conn)),
            }
        }
    }
}
