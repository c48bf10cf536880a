//! Connections that the host makes.

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use sinbin_core::IoError;
use sinbin_core::task::{Conn, Error, Handle};
use sinbin_crawl::FailureKind;
use sinbin_crawl_http::{Connect, Connection, FetchError, NoBody, Origin, http1};

use crate::io::Io;

/// Asks the host for connections.
pub(crate) struct Connector(Handle<'static>);

impl Connector {
    pub(crate) fn new(handle: Handle<'static>) -> Self {
        Self(handle)
    }

    /// Connects to the host of a URL. The guest's own host resolves the name, and connects to addresses that it permits.
    async fn connect_host(
        &self,
        origin: &Origin,
        permits: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Conn<'static>, FetchError> {
        let endpoint = format!("{}:{}", origin.host, origin.port);
        let conn = self.0.connect(&*endpoint).await.map_err(|error| not_connected(&endpoint, error))?;
        // An address of a name is known only now. Nothing was sent to it.
        match conn.peer() {
            Some(peer) if !permits(peer.ip()) => {
                let host = &origin.host;
                let text = format!(
                    "{host} is a private address, to which neither a page nor the name of a public host may lead"
                );
                Err(FetchError::Connect { kind: FailureKind::Forbidden, text })
            }
            _ => Ok(conn),
        }
    }
}

impl Connect for Connector {
    type Connection = Http;

    async fn connect(&self, origin: &Origin, permits: &dyn Fn(IpAddr) -> bool) -> Result<Http, FetchError> {
        let conn = self.connect_host(origin, permits).await?;
        let (sender, connection) =
            http1().handshake::<_, NoBody>(Io(conn)).await.map_err(FetchError::Http)?;
        // Its error is not reported: the requests of the connection fail with it.
        let moves = async move {
            connection.await.ok();
        };
        match self.0.spawn(moves) {
            Ok(_) => Ok(Http(sender)),
            Err(error) => {
                let text = Error::from(error).to_string();
                Err(FetchError::Connect { kind: FailureKind::Other, text })
            }
        }
    }
}

fn not_connected(endpoint: &str, error: Error) -> FetchError {
    let (kind, text) = match error.io() {
        Some(IoError::Unsupported) => {
            let text =
                format!("the host of this guest permits no connection to {endpoint} (--allow-connect)");
            (FailureKind::NotPermitted, text)
        }
        Some(IoError::NoRoom) => {
            let text =
                "the host of this guest has no room for another connection (--max-outgoing)".to_owned();
            (FailureKind::Connect, text)
        }
        Some(IoError::Unresolved) => (FailureKind::Resolve, error.to_string()),
        _ => (FailureKind::Connect, error.to_string()),
    };
    FetchError::Connect { kind, text }
}

/// A connection of HTTP/1.1.
pub(crate) struct Http(SendRequest<NoBody>);

impl Connection for Http {
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    async fn send(&mut self, request: Request<NoBody>) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }
}
