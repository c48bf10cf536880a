//! New connections: names, addresses that are refused, TLS, and the version of HTTP.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use sinbin::hyper::{Executor, Io, Timer, detach};
use sinbin::task::{Conn, Error, Handle};
use sinbin::tls::{ConfigError, Roots, TlsConnector, TlsError};
use sinbin::{ByteStream, IoError};
use sinbin_crawl::FailureKind;
use sinbin_crawl_http::{Connect, Connection, FetchError, MAX_HEAD, NoBody, Origin};

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

    /// Connects to a host. The addresses are checked here, and not before, because those of a name can change between two
    /// look-ups.
    async fn connect_host(
        &self,
        host: &str,
        port: u16,
        permits: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Conn<'d>, FetchError> {
        let mut addresses = self.handle.resolve((host, port)).await.map_err(not_connected)?;
        addresses.retain(|address| permits(address.ip()));
        if addresses.is_empty() {
            let text = format!(
                "{host} is a private address, to which neither a page nor the name of a public host may lead"
            );
            return Err(FetchError::Connect { kind: FailureKind::Forbidden, text });
        }
        self.handle.connect_any(addresses).await.map_err(not_connected)
    }

    async fn http1<C: ByteStream<'d> + Unpin + 'd>(&self, conn: C) -> Result<Pooled, FetchError> {
        let builder = sinbin_crawl_http::http1();
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
        self.handle.spawn(moves).map(drop).map_err(|error| {
            let text = Error::from(error).to_string();
            FetchError::Connect { kind: FailureKind::Other, text }
        })
    }
}

impl Connect for Connector<'_> {
    type Connection = Pooled;

    async fn connect(&self, origin: &Origin, permits: &dyn Fn(IpAddr) -> bool) -> Result<Pooled, FetchError> {
        let host = origin.host.trim_start_matches('[').trim_end_matches(']');
        let conn = self.connect_host(host, origin.port, permits).await?;
        if !origin.is_https {
            return self.http1(conn).await;
        }
        let no_roots = |error: ConfigError| not_encrypted(FailureKind::Tls, &error);
        let tls = self.tls().map_err(no_roots)?;
        let conn = tls.connect(conn, host).await.map_err(|error| match error {
            TlsError::Late { .. } => not_encrypted(FailureKind::Timeout, &error),
            TlsError::Connection { .. } | TlsError::Closed { .. } => {
                not_encrypted(FailureKind::Reset, &error)
            }
            error => not_encrypted(FailureKind::Tls, &error),
        })?;
        if conn.alpn().as_deref() == Some(b"h2") { self.http2(conn).await } else { self.http1(conn).await }
    }
}

fn not_connected(error: Error) -> FetchError {
    let is_unresolved = error.io() == Some(IoError::Unresolved);
    let kind = if is_unresolved { FailureKind::Resolve } else { FailureKind::Connect };
    FetchError::Connect { kind, text: error.to_string() }
}

fn not_encrypted(kind: FailureKind, error: &dyn std::error::Error) -> FetchError {
    FetchError::Connect { kind, text: error.to_string() }
}

/// A connection that accepts requests.
pub(crate) enum Pooled {
    /// A connection that carries one request at a time.
    Http1(http1::SendRequest<NoBody>),
    /// A connection that carries any number of requests. All owners share it.
    Http2(http2::SendRequest<NoBody>),
}

impl Connection for Pooled {
    fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<NoBody>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}
