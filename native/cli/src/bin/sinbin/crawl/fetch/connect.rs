//! New connections: names, addresses that are refused, TLS, and the version of HTTP.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use sinbin::ByteStream;
use sinbin::hyper::{Executor, Io, Timer, detach};
use sinbin::task::{Conn, Error, Handle};
use sinbin::tls::{ConfigError, Roots, TlsConnector};

use super::error::FetchError;
use super::pool::Pooled;
use super::{NoBody, Origin};

/// The maximum number of bytes of the head of a response.
const MAX_HEAD: usize = 64 << 10;

/// The time between two checks that the server of an HTTP/2 connection still answers, and the time for the answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes connections.
pub(crate) struct Connector<'d> {
    handle: Handle<'d>,
    /// A PEM file of authorities that are trusted besides those of the system.
    ca: Option<PathBuf>,
    /// The configuration of TLS, which takes some milliseconds to read: when it is needed.
    tls: OnceCell<TlsConnector>,
}

impl<'d> Connector<'d> {
    /// Creates a connector.
    ///
    /// # Errors
    ///
    /// Fails if `ca` can't be read.
    pub(crate) fn new(handle: Handle<'d>, ca: Option<&Path>) -> Result<Self, ConfigError> {
        let connector = Self { handle, ca: ca.map(Path::to_owned), tls: OnceCell::new() };
        if ca.is_some() {
            connector.tls()?;
        }
        Ok(connector)
    }

    fn tls(&self) -> Result<&TlsConnector, ConfigError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let roots = match &self.ca {
            None => Roots::system()?,
            Some(ca) => {
                let named = Roots::from_pem_file(ca)?;
                Roots::system().map(|system| system.and(&named)).unwrap_or(named)
            }
        };
        let tls = TlsConnector::builder(roots).alpn(["h2", "http/1.1"]).build()?;
        Ok(self.tls.get_or_init(|| tls))
    }

    /// Connects to `origin` within `limit`, at an address that `permits` accepts, and performs the handshakes.
    ///
    /// # Errors
    ///
    /// Fails with the reason of the name, the address, or TLS.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        limit: Duration,
        permits: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Pooled, FetchError> {
        let connected = self.handle.timeout(limit, self.connect_late(origin, permits)).await;
        connected.unwrap_or(Err(FetchError::Late { what: "connection", limit }))
    }

    async fn connect_late(
        &self,
        origin: &Origin,
        permits: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Pooled, FetchError> {
        let host = origin.host.trim_start_matches('[').trim_end_matches(']');
        let conn = self.connect_host(host, origin.port, permits).await?;
        if !origin.is_https {
            return self.http1(conn).await;
        }
        let tls = self.tls().map_err(FetchError::Roots)?;
        let conn = tls.connect(conn, host).await.map_err(FetchError::Tls)?;
        if conn.alpn().as_deref() == Some(b"h2") { self.http2(conn).await } else { self.http1(conn).await }
    }

    /// Connects to a host. The addresses are checked here, and not before, because those of a name can change between two
    /// look-ups.
    async fn connect_host(
        &self,
        host: &str,
        port: u16,
        permits: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Conn<'d>, FetchError> {
        let mut addresses = self.handle.resolve((host, port)).await.map_err(FetchError::Connect)?;
        addresses.retain(|address| permits(address.ip()));
        if addresses.is_empty() {
            return Err(FetchError::Forbidden(host.to_owned()));
        }
        self.handle.connect_any(addresses).await.map_err(FetchError::Connect)
    }

    async fn http1<C: ByteStream<'d> + Unpin + 'd>(&self, conn: C) -> Result<Pooled, FetchError> {
        let mut builder = http1::Builder::new();
        // Pages of old servers are still pages.
        builder
            .max_buf_size(MAX_HEAD)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let (sender, connection) =
            builder.handshake::<_, NoBody>(Io::new(conn)).await.map_err(FetchError::Http)?;
        self.spawn(connection)?;
        Ok(Pooled::Http1(sender))
    }

    async fn http2<C: ByteStream<'d> + 'd>(&self, conn: C) -> Result<Pooled, FetchError> {
        let (io, moves) = detach(conn);
        self.spawn(moves)?;
        let timer = Timer::new();
        let mut builder = http2::Builder::new(Executor::new(self.handle));
        builder
            .timer(timer.clone())
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) = builder.handshake::<_, NoBody>(io).await.map_err(FetchError::Http)?;
        let handle = self.handle;
        self.spawn(async move { timer.drive(handle, connection).await })?;
        Ok(Pooled::Http2(sender))
    }

    /// Spawns a task that moves the bytes of a connection. Its error is not reported: the requests of the connection fail
    /// with it.
    fn spawn<T, E>(&self, moves: impl Future<Output = Result<T, E>> + 'd) -> Result<(), FetchError> {
        let moves = async move { drop(moves.await.ok()) };
        self.handle.spawn(moves).map(drop).map_err(|error| FetchError::Task(Error::from(error)))
    }
}
