//! Listeners.

use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use core::time::Duration;

use crate::kernel::error::{IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::step::WaitTarget;
use crate::task::alarm::Alarm;
use crate::task::conn::by::operate_once;
use crate::task::conn::{Conn, Waited, Waiting};
use crate::task::deferred::Deferred;
use crate::task::endpoint::{Endpoint, ToEndpoint};
use crate::task::error::Error;
use crate::task::handle::Handle;

/// The time that a listener whose host has no capacity waits before it polls again.
const RETRY: Duration = Duration::from_millis(100);

/// The address of a listener on a Unix socket.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

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

    /// Returns the address that the listener is bound to; `0.0.0.0:0` for a Unix socket. In a guest, whose host binds it
    /// later, this is the address that was asked for: see [`bound`](Self::bound).
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the listener is bound, and returns its address. A native host has bound it before [`Handle::listen`]
    /// returns; the host of a guest does so after the turn.
    ///
    /// # Errors
    ///
    /// Fails with the reason why the host does not listen: [`IoError::Unsupported`] if the guest may not, and
    /// [`IoError::AddressInUse`].
    pub async fn bound(&self) -> Result<SocketAddr, Error> {
        let mut wait = Waiting::new(WaitTarget::Recv(self.source));
        poll_fn(|context| {
            wait.check()?;
            match self.handle.run_context().with(|ops| ops.bound(self.source))?.unwrap_or(Ok(self.address)) {
                Err(IoError::WouldBlock) => {
                    wait.wait(self.handle, context).map(|refused| Err(refused.into()))
                }
                bound => Poll::Ready(bound.map_err(|error| Error::Address {
                    op: Op::Listen,
                    address: self.address,
                    error,
                })),
            }
        })
        .await
    }

    /// Returns the loop that the listener belongs to.
    #[must_use]
    pub const fn handle(&self) -> Handle<'d> {
        self.handle
    }

    /// Calls `act` with the object that the host has for the listener, once: see [`Conn::inspect`].
    ///
    /// # Errors
    ///
    /// Fails with the error of `act`, and with [`IoError::Unsupported`] if the host gives no access.
    pub fn inspect<R>(
        &self,
        act: impl FnOnce(&dyn core::any::Any) -> Result<R, IoError>,
    ) -> Result<R, Error> {
        operate_once(self.handle, self.source, act)
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
    /// Creates a listener at an endpoint: on an address (port 0 means any free port), or on a Unix socket
    /// (`"unix:/run/service.sock"`).
    ///
    /// A path that exists is left alone, unless it is a socket on which no process listens. The path is removed when
    /// the listener is dropped.
    ///
    /// # Errors
    ///
    /// Fails with the endpoint and the host's error if it can't listen: [`IoError::Unsupported`] if tasks may not
    /// listen there, and [`IoError::Invalid`] for a name, which would have to be resolved.
    pub fn listen(self, at: impl ToEndpoint) -> Result<Listener<'d>, Error> {
        let endpoint = at.to_endpoint();
        let failed = |error| Error::endpoint(Op::Listen, endpoint, error);
        match endpoint {
            Endpoint::Address(address) => {
                let listening = self.run_context().with(|ops| ops.listen(address))?;
                let failed = |error| Error::Address { op: Op::Listen, address, error };
                let (source, bound) = listening.map_err(failed)?;
                Ok(Listener::new(self, source, bound))
            }
            Endpoint::Path(path) => {
                let source = self.run_context().with(|ops| ops.listen_path(path))?.map_err(failed)?;
                Ok(Listener::new(self, source, NO_ADDRESS))
            }
            Endpoint::Name { .. } | Endpoint::Invalid(_) => Err(failed(IoError::Invalid)),
        }
    }
}
