//! Listeners.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;

use crate::kernel::error::{IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::step::WaitTarget;
use crate::task::alarm::Alarm;
use crate::task::conn::{Conn, Waited, Waiting};
use crate::task::deferred::Deferred;
use crate::task::error::Error;
use crate::task::handle::Handle;

/// The time that a listener whose host has no capacity waits before it polls again.
const RETRY: Duration = Duration::from_millis(100);

/// A source of incoming connections. Dropping the listener closes it.
pub struct Listener<'d> {
    handle: Handle<'d>,
    source: SourceId,
    address: SocketAddr,
}

impl<'d> Listener<'d> {
    pub(crate) const fn new(handle: Handle<'d>, source: SourceId, address: SocketAddr) -> Self {
        Self { handle, source, address }
    }

    /// Returns the address that the listener is bound to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the loop that the listener belongs to.
    #[must_use]
    pub const fn handle(&self) -> Handle<'d> {
        self.handle
    }

    /// Accepts the next connection if one waits in the backlog and the host has the capacity for it. Returns `None`
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::Closed`] once the listener is closed.
    pub fn try_accept(&self) -> Result<Option<(Conn<'d>, Option<SocketAddr>)>, Error> {
        loop {
            match self.handle.run_context().with(|ops| ops.take(self.source))? {
                Ok((source, peer)) => return Ok(Some((Conn::new(self.handle, source), peer))),
                // A client that disconnected in the backlog does not affect the listener.
                Err(IoError::Reset) => {}
                Err(IoError::WouldBlock | IoError::NoRoom | IoError::Os(_)) => return Ok(None),
                Err(error) => return Err(Error::of(Op::Accept, self.source, error)),
            }
        }
    }

    /// Accepts the next connection, and returns it with the address of the peer, if the host knows it. While the host
    /// has no capacity, the connection stays in the system's backlog.
    ///
    /// # Errors
    ///
    /// Fails with the host's error: [`IoError::Closed`] once the host drains.
    pub async fn accept(&self) -> Result<(Conn<'d>, Option<SocketAddr>), Error> {
        let run_context = self.handle.run_context();
        let mut wait = Waiting::new(WaitTarget::Recv(self.source));
        let mut crowded = Waiting::new(WaitTarget::Hangup(self.source));
        let mut retry = None;
        let mut alarm = Alarm::new(self.handle);
        poll_fn(|context| {
            let tries = wait.check()? != Waited::Still;
            let relieved = crowded.check()? == Waited::Over;
            if tries && (relieved || retry.is_none_or(|at| at <= self.handle.now())) {
                retry = None;
                loop {
                    if !run_context.spend(context)? {
                        return Poll::Pending;
                    }
                    match run_context.with(|ops| ops.take(self.source))? {
                        Ok((source, peer)) => return Poll::Ready(Ok((Conn::new(self.handle, source), peer))),
                        // A client that disconnected in the backlog does not affect the listener.
                        Err(IoError::Reset) => {}
                        Err(IoError::WouldBlock) => break,
                        Err(IoError::NoRoom | IoError::Os(_)) => {
                            retry = Some(self.handle.now() + RETRY);
                            break;
                        }
                        Err(error) => return Poll::Ready(Err(Error::of(Op::Accept, self.source, error))),
                    }
                }
            }
            let waiting = match retry {
                None => &mut wait,
                Some(at) => {
                    wait.end();
                    alarm.wait(at, context);
                    &mut crowded
                }
            };
            waiting.wait(self.handle, context).map(|refused| Err(refused.into()))
        })
        .await
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.handle.run_context().give_back(Deferred::Close(self.source));
    }
}

impl core::fmt::Debug for Listener<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl<'d> Handle<'d> {
    /// Creates a listener on `address`. Port 0 means any free port.
    ///
    /// # Errors
    ///
    /// Fails with the host's error if it can't listen: [`IoError::Unsupported`] if tasks may not listen.
    pub fn listen(self, address: SocketAddr) -> Result<Listener<'d>, Error> {
        let listening = self.run_context().with(|ops| ops.listen(address))?;
        let (source, bound) = listening.map_err(|error| Error::Address { op: Op::Listen, address, error })?;
        Ok(Listener::new(self, source, bound))
    }
}
