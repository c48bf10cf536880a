//! The side of servers.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use sinbin_core::task::Conn;

use crate::tls::conn::TlsConn;
use crate::tls::error::{ConfigError, Peer, TlsError};
use crate::tls::handshake::{TIMEOUT, handshake};
use crate::tls::pem::{Identity, Roots};
use crate::tls::session::Session;

/// The side of a server: turns connections into [`TlsConn`]s.
///
/// A clone shares the configuration. TLS 1.2 and 1.3 are accepted, and clients can resume sessions.
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    handshake_timeout: Duration,
}

impl TlsAcceptor {
    /// Creates an acceptor with the certificate of the server, which asks clients for none.
    ///
    /// # Errors
    ///
    /// Fails if the certificate does not belong to the key.
    pub fn new(identity: Identity) -> Result<Self, ConfigError> {
        Self::builder(identity).build()
    }

    /// Begins an acceptor with the certificate of the server.
    pub const fn builder(identity: Identity) -> TlsAcceptorBuilder {
        TlsAcceptorBuilder { identity, clients: None, alpn: Vec::new(), handshake_timeout: TIMEOUT }
    }

    /// Creates an acceptor with a configuration of `rustls`: with several certificates, for example.
    #[must_use]
    pub const fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { config, handshake_timeout: TIMEOUT }
    }

    /// Creates the session of a connection, before its handshake.
    ///
    /// # Errors
    ///
    /// Returns the error of `rustls`.
    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        rustls::ServerConnection::new(Arc::clone(&self.config)).map(|tls| Session::new(tls.into()))
    }

    /// Returns the time that a handshake may take.
    pub(crate) const fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    /// Performs the handshake, and returns the connection. A failed handshake closes the connection.
    ///
    /// # Errors
    ///
    /// Fails if the connection fails, if a side refuses the handshake, and if the handshake takes longer than its limit.
    pub async fn accept<'d>(&self, conn: Conn<'d>) -> Result<TlsConn<'d>, TlsError> {
        let address = conn.peer();
        let session = self.session();
        let session =
            session.map_err(|error| TlsError::Handshake { peer: Peer { address, name: None }, error })?;
        handshake(conn, session, None, self.handshake_timeout).await
    }

    /// Performs the handshake, serves the connection with `service`, and announces the end of the stream if the service
    /// succeeds, or if its error only says that [its task is to end](crate::task::Error::is_the_end).
    ///
    /// # Errors
    ///
    /// Fails with the error of the handshake or of the service. A peer that does not wait for the announcement is no
    /// error.
    pub async fn serve<'d, E: From<TlsError> + 'static>(
        &self,
        conn: Conn<'d>,
        service: impl AsyncFnOnce(&TlsConn<'d>) -> Result<(), E>,
    ) -> Result<(), E> {
        let conn = match self.accept(conn).await {
            Err(error) if error.is_the_end() => return Ok(()),
            accepted => accepted?,
        };
        let served = service(&conn).await;
        if served.as_ref().err().is_none_or(|error| TlsError::is_the_end_in(error)) {
            conn.shutdown().await.ok();
        }
        served
    }
}

/// A [`TlsAcceptor`] that is being configured.
#[derive(Debug)]
#[must_use = "it does nothing until it is built"]
pub struct TlsAcceptorBuilder {
    identity: Identity,
    clients: Option<(Roots, bool)>,
    alpn: Vec<Vec<u8>>,
    handshake_timeout: Duration,
}

impl TlsAcceptorBuilder {
    /// Requires certificates of clients, issued by one of `roots`.
    pub fn require_clients(mut self, roots: Roots) -> Self {
        self.clients = Some((roots, true));
        self
    }

    /// Asks clients for certificates, issued by one of `roots`, and accepts clients without one.
    pub fn verify_clients(mut self, roots: Roots) -> Self {
        self.clients = Some((roots, false));
        self
    }

    /// Sets the application protocols, the preferred one first: `["h2", "http/1.1"]`, for example. A client that offers
    /// only others is refused. Without protocols, none is negotiated.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the time that a handshake may take (10 s).
    pub const fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Creates the acceptor.
    ///
    /// # Errors
    ///
    /// Fails if the certificate does not belong to the key, or if there are no roots for clients.
    pub fn build(self) -> Result<TlsAcceptor, ConfigError> {
        let Self { identity, clients, alpn, handshake_timeout } = self;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some((roots, is_required)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.0, provider);
                let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder.with_single_cert(identity.chain, identity.key)?;
        config.alpn_protocols = alpn;
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        Ok(TlsAcceptor { config: Arc::new(config), handshake_timeout })
    }
}
