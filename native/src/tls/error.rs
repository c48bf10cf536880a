//! Errors of TLS: of its configuration, and of a handshake.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sinbin_core::task::{self, WaitError};

use crate::tls::advice::{of_config, of_handshake};

/// Error returned when certificates, keys or roots cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Error returned when a file cannot be read or contains no PEM data of the kind that is needed.
    #[error("cannot read {what} from {}: {reason}", .path.display())]
    File {
        /// The kind of data.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system, or of the format.
        reason: String,
    },
    /// Error returned when PEM data contains nothing of the kind that is needed, or is malformed.
    #[error("cannot read {what}: {reason}")]
    Pem {
        /// The kind of data.
        what: &'static str,
        /// The error of the format.
        reason: String,
    },
    /// Error returned when no root certificate of the system can be read.
    #[error(
        "the system has no root certificates ({0}): install them (ca-certificates), set SSL_CERT_FILE, or name a file"
    )]
    NoRoots(String),
    /// Error returned when `rustls` refuses the configuration: because the certificate does not fit the key, for example.
    #[error("{}", of_config(.0))]
    Refused(#[from] rustls::Error),
    /// Error returned when `rustls` refuses the roots that are to verify clients.
    #[error("cannot verify clients: {0}")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

/// Error returned when a handshake fails. It names the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The connection failed, or the task is to end.
    Connection {
        /// The peer.
        peer: Peer,
        /// The error of the connection.
        error: task::Error,
    },
    /// A side refused the handshake: because of a certificate, for example.
    Handshake {
        /// The peer.
        peer: Peer,
        /// The reason.
        error: rustls::Error,
    },
    /// The first bytes of the peer are not of TLS.
    NotTls {
        /// The peer.
        peer: Peer,
        /// The first bytes.
        first: Vec<u8>,
    },
    /// The peer closed the connection during the handshake.
    Closed {
        /// The peer.
        peer: Peer,
    },
    /// The peer ended the connection after the handshake, and did not announce the end (`close_notify`).
    Truncated {
        /// The peer.
        peer: Peer,
    },
    /// The handshake took too long.
    Late {
        /// The peer.
        peer: Peer,
        /// The limit.
        limit: Duration,
    },
    /// The name of the server is neither a DNS name nor an IP address.
    Name(String),
}

/// The first byte of every handshake, and of an alert.
const TLS_RECORDS: [u8; 2] = [22, 21];

/// The peer of a connection: its address, if the host knows it, and the name by which a server was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The address.
    pub address: Option<SocketAddr>,
    /// The name, for servers.
    pub name: Option<String>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.address) {
            (Some(name), Some(address)) => write!(f, "{name} ({address})"),
            (Some(name), None) => f.write_str(name),
            (None, Some(address)) => address.fmt(f),
            (None, None) => f.write_str("a peer without an address"),
        }
    }
}

impl Peer {
    /// Returns the question that a server raises which does not behave as one with TLS does.
    const fn question(&self) -> &'static str {
        if self.name.is_some() { "; is this port one for TLS?" } else { "" }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection { peer, error } => write!(f, "TLS handshake with {peer}: {error}"),
            Self::Handshake { peer, error } => {
                write!(f, "TLS handshake with {peer}: {error}{}", of_handshake(error, peer.name.is_some()))
            }
            Self::NotTls { peer, first } => write!(
                f,
                "{peer} does not speak TLS: its first bytes are \"{}\"{}",
                first.escape_ascii(),
                if peer.name.is_some() {
                    peer.question()
                } else {
                    "; does it use http:// instead of https://?"
                }
            ),
            Self::Closed { peer } => {
                write!(f, "{peer} closed the connection during the TLS handshake{}", peer.question())
            }
            Self::Truncated { peer } => write!(
                f,
                "{peer} ended the connection without announcing it (close_notify): bytes may be missing at the end"
            ),
            Self::Late { peer, limit } => {
                write!(
                    f,
                    "the TLS handshake with {peer} was not complete within {limit:?}{}",
                    peer.question()
                )
            }
            Self::Name(name) => write!(f, "{name:?} is neither a DNS name nor an IP address"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection { error, .. } => Some(error),
            Self::Handshake { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl TlsError {
    /// Returns true if the task is to end although nothing went wrong: see
    /// [`task::Error::is_the_end`].
    #[must_use]
    pub const fn is_the_end(&self) -> bool {
        matches!(self, Self::Connection { error, .. } if error.is_the_end())
    }

    /// Returns true if `error`, of any type, only ends a task: see [`task::Error::is_the_end_in`].
    pub(crate) fn is_the_end_in(error: &dyn Any) -> bool {
        let own = error.downcast_ref::<Self>();
        own.map_or_else(|| task::Error::is_the_end_in(error), Self::is_the_end)
    }
}

/// Converts the error for tasks whose errors are those of connections. The details are lost.
impl From<TlsError> for task::Error {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Connection { error, .. } => error,
            TlsError::Late { .. } => Self::Elapsed,
            TlsError::Closed { .. } | TlsError::Truncated { .. } => Self::Ended,
            TlsError::Handshake { .. } | TlsError::NotTls { .. } | TlsError::Name(_) => Self::Protocol,
        }
    }
}

/// Converts the error to one of the standard library, which contains it.
impl From<TlsError> for std::io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match &error {
            TlsError::Connection { error, .. } => Self::from(*error).kind(),
            TlsError::Late { .. } => std::io::ErrorKind::TimedOut,
            TlsError::Closed { .. } | TlsError::Truncated { .. } => std::io::ErrorKind::UnexpectedEof,
            TlsError::Handshake { .. } | TlsError::NotTls { .. } => std::io::ErrorKind::InvalidData,
            TlsError::Name(_) => std::io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl TlsError {
    pub(super) fn connection(peer: Peer, error: impl Into<task::Error>) -> Self {
        Self::Connection { peer, error: error.into() }
    }

    /// Returns the error of a handshake that failed after the peer had sent the bytes `first`.
    pub(crate) fn handshake(peer: Peer, first: Vec<u8>, error: rustls::Error) -> Self {
        let is_tls = first.first().is_none_or(|kind| TLS_RECORDS.contains(kind));
        if is_tls { Self::Handshake { peer, error } } else { Self::NotTls { peer, first } }
    }

    pub(super) fn elsewhere(peer: Peer) -> Self {
        Self::connection(peer, WaitError::Elsewhere)
    }
}
