//! Connecting to endpoints: to an address, to the path of a Unix socket, or to the fastest address of a name; and which
//! addresses are public.

#[cfg(feature = "alloc")]
mod attempts;
mod public;
#[cfg(feature = "alloc")]
mod race;
#[cfg(feature = "alloc")]
mod resolve;

#[cfg(feature = "alloc")]
use core::net::SocketAddr;
use core::time::Duration;

#[cfg(feature = "alloc")]
pub use attempts::{ATTEMPT_DELAY, attempt_order};
pub use public::is_public;

use crate::kernel::error::{IoError, Op};
use crate::task::conn::Conn;
use crate::task::endpoint::{Endpoint, ToEndpoint};
use crate::task::error::Error;
use crate::task::handle::{Handle, begin};

/// The time after which an attempt to connect to a Unix socket is repeated, if the backlog was full. The system has no
/// way to wait for that.
const BACKLOG_RETRY: Duration = Duration::from_millis(10);

impl<'d> Handle<'d> {
    /// Connects to an endpoint: to an address, to a name with a port (`"example.org:443"`), or to a Unix socket
    /// (`"unix:/run/service.sock"`).
    ///
    /// A name is [resolved](Self::resolve) first. If it has several addresses, up to 32 of them are tried, the families
    /// in turn. An attempt that has not ended after 250 ms is joined by the next one, and so on. The first connection
    /// that is established wins, and the other attempts end (RFC 8305, "happy eyeballs"). Each attempt is a task.
    ///
    /// No time limit applies but that of the system, which can be minutes: use a [timeout](crate::task::Handle::timeout).
    ///
    /// # Errors
    ///
    /// Fails with the endpoint and the host's error if no connection can be established: [`IoError::Unsupported`] if
    /// tasks may not connect, and for a name, the errors of [`resolve`](Self::resolve), or the error of the first
    /// address that failed.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use sinbin_core::task::{Error, Handle};
    /// async fn fetch(handle: Handle<'_>) -> Result<(), Error> {
    ///     let server = handle.connect("example.org:80");
    ///     let server = handle.timeout(Duration::from_secs(10), server).await??;
    ///     server.send_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n").await
    /// }
    /// ```
    pub async fn connect(self, to: impl ToEndpoint) -> Result<Conn<'d>, Error> {
        let endpoint = to.to_endpoint();
        let failed = |error| Error::endpoint(Op::Connect, endpoint, error);
        match endpoint {
            Endpoint::Address(address) => self.connect_address(address).await,
            Endpoint::Path(path) => connect_path(self, path).await?.map_err(failed),
            // Boxed, so that the future of an address is not larger for it.
            #[cfg(feature = "alloc")]
            Endpoint::Name { .. } => alloc::boxed::Box::pin(race::connect(self, endpoint)).await,
            #[cfg(not(feature = "alloc"))]
            Endpoint::Name { .. } => Err(failed(IoError::Unsupported)),
            Endpoint::Invalid(_) => Err(failed(IoError::Invalid)),
        }
    }

    /// Connects to the fastest of several addresses, in the way that [`connect`](Self::connect) tries those of a name. For
    /// callers that [resolve](Self::resolve) a name themselves, to permit only some of its addresses.
    ///
    /// # Errors
    ///
    /// Fails with the error of the first address that failed, and with [`IoError::Unresolved`] if there are no addresses.
    #[cfg(feature = "alloc")]
    pub async fn connect_any(self, to: impl IntoIterator<Item = SocketAddr>) -> Result<Conn<'d>, Error> {
        alloc::boxed::Box::pin(race::fastest(self, to)).await
    }
}

/// Connects to a Unix socket.
async fn connect_path<'d>(handle: Handle<'d>, path: &str) -> Result<Result<Conn<'d>, IoError>, Error> {
    loop {
        begin(handle).await?;
        match handle.run_context().with(|ops| ops.connect_path(path))? {
            Err(IoError::WouldBlock) => handle.sleep(BACKLOG_RETRY).await,
            source => return Ok(source.map(|source| Conn::new(handle, source))),
        }
    }
}
