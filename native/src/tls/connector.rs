//! The side of clients.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sinbin_core::task::Conn;

use crate::tls::conn::TlsConn;
use crate::tls::error::{ConfigError, Peer, TlsError};
use crate::tls::handshake::{TIMEOUT, handshake};
use crate::tls::pem::{Identity, Roots};
use crate::tls::session::Session;

/// The side of a client: turns connections to servers into [`TlsConn`]s, and verifies the certificates of the servers.
///
/// A clone shares the configuration and the sessions that can be resumed.
///
/// ```no_run
/// use sinbin::task::Handle;
/// use sinbin::tls::{Roots, TlsConnector};
///
/// async fn fetch(handle: Handle<'_>) -> Result<(), Box<dyn std::error::Error>> {
///     let connector = TlsConnector::new(Roots::system()?)?;
///     let conn = handle.connect("example.org:443").await?;
///     let conn = connector.connect(conn, "example.org").await?;
///     conn.send_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n").await?;
///     let mut buffer = [0; 4096];
///     while conn.recv(&mut buffer).await? > 0 {}
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    handshake_timeout: Duration,
}

impl TlsConnector {
    /// Creates a connector that trusts `roots`, and has no certificate of its own.
    ///
    /// # Errors
    ///
    /// Fails if `rustls` refuses the configuration.
    pub fn new(roots: Roots) -> Result<Self, ConfigError> {
        Self::builder(roots).build()
    }

    /// Begins a connector that trusts `roots`.
    pub const fn builder(roots: Roots) -> TlsConnectorBuilder {
        TlsConnectorBuilder { roots, identity: None, alpn: Vec::new(), handshake_timeout: TIMEOUT }
    }

    /// Creates a connector with a configuration of `rustls`.
    #[must_use]
    pub const fn from_config(config: Arc<ClientConfig>) -> Self {
        Self { config, handshake_timeout: TIMEOUT }
    }

    /// Performs the handshake with the server that is to be `name`, a DNS name or an IP address, and returns the
    /// connection. A failed handshake closes the connection.
    ///
    /// # Errors
    ///
    /// Fails if the connection fails, if a side refuses the handshake (if the server's certificate is not valid for
    /// `name`, for example), and if the handshake takes longer than its limit.
    pub async fn connect<'d>(&self, conn: Conn<'d>, name: &str) -> Result<TlsConn<'d>, TlsError> {
        let mut session = self.session(name);
        if let Err(TlsError::Handshake { peer, .. }) = &mut session {
            peer.address = conn.peer();
        }
        handshake(conn, session?, Some(name.to_owned()), self.handshake_timeout).await
    }

    /// Creates the session of a connection to the server that is to be `name`.
    ///
    /// # Errors
    ///
    /// Fails if the name is neither a DNS name nor an IP address, and if `rustls` lacks a resource of the system.
    pub(crate) fn session(&self, name: &str) -> Result<Session, TlsError> {
        let server = ServerName::try_from(name).map_err(|_| TlsError::Name(name.to_owned()))?.to_owned();
        let session = rustls::ClientConnection::new(Arc::clone(&self.config), server);
        let peer = || Peer { address: None, name: Some(name.to_owned()) };
        let session = session.map_err(|error| TlsError::Handshake { peer: peer(), error })?;
        Ok(Session::new(session.into()))
    }
}

/// Returns true if the text can be the name of a server: a DNS name or an IP address.
pub(crate) fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

/// A [`TlsConnector`] that is being configured.
#[derive(Debug)]
#[must_use = "it does nothing until it is built"]
pub struct TlsConnectorBuilder {
    roots: Roots,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    handshake_timeout: Duration,
}

impl TlsConnectorBuilder {
    /// Sets the certificate for servers that ask clients for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the application protocols that are offered, the preferred one first: `["h2", "http/1.1"]`, for example.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the time that a handshake may take (10 s).
    pub const fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Creates the connector.
    ///
    /// # Errors
    ///
    /// Fails if the own certificate does not belong to its key.
    pub fn build(self) -> Result<TlsConnector, ConfigError> {
        let Self { roots, identity, alpn, handshake_timeout } = self;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots.0);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        };
        config.alpn_protocols = alpn;
        Ok(TlsConnector { config: Arc::new(config), handshake_timeout })
    }
}
