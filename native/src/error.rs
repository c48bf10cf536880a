//! Errors of a server as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

/// Error returned when a server does not start or stops early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Error returned when the server cannot listen on an address.
    #[error("cannot listen on {address}: {}", reason(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// Error returned when an address conflicts with another address of the same server.
    #[error("cannot listen on {address}: this server listens on {other} already; {}", instead(*.address, *.other))]
    Taken {
        /// The address that is in conflict.
        address: SocketAddr,
        /// The address on which the server already listens.
        other: SocketAddr,
    },
    /// Error returned when the server cannot listen on a Unix socket.
    #[error("cannot listen on unix:{}: {error}", .path.display())]
    ListenPath {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// Error returned when the server cannot listen on any of the addresses.
    #[error("cannot listen: {}", reason(.0))]
    Bind(#[source] io::Error),
    /// Error returned when the program's task panicked or was cancelled before it returned a result.
    #[error("the program's task panicked or was cancelled before it returned a result")]
    JobError,
    /// Error returned when the system provides no poller, or when the poller fails.
    #[error("cannot wait for readiness: {0}")]
    Poller(#[source] io::Error),
    /// Error returned when the limit of listeners or connections is reached.
    #[error("no capacity for another listener or connection; the limit is {limit}")]
    Full {
        /// The maximum number of tasks.
        limit: usize,
    },
    /// Error returned when a socket cannot be configured.
    #[error("cannot prepare a connection: {0}")]
    Prepare(#[source] io::Error),
    /// Error returned when every task waits for another task, so that nothing can wake any of them.
    #[error("no task can make progress, and nothing can wake them:{list}")]
    Stalled {
        /// The number of tasks.
        tasks: usize,
        /// A list with one line for each task and what it waits for.
        list: String,
    },
}

impl Error {
    /// Converts the error to [`Error::Taken`] if the address is in use and one of the listeners `ours` occupies it.
    #[must_use]
    pub fn beside(self, mut ours: impl Iterator<Item = SocketAddr>) -> Self {
        let Self::Listen { address, error } = self else { return self };
        let is_in_the_way = |other: &SocketAddr| {
            let is_wide = address.ip().is_unspecified() || other.ip().is_unspecified();
            other.port() == address.port() && (is_wide || other.ip() == address.ip())
        };
        match ours.find(is_in_the_way) {
            Some(other) if error.kind() == io::ErrorKind::AddrInUse => Self::Taken { address, other },
            _ => Self::Listen { address, error },
        }
    }
}

/// Returns advice for two conflicting addresses of one server.
fn instead(address: SocketAddr, other: SocketAddr) -> &'static str {
    if address.is_ipv4() == other.is_ipv4() {
        "specify each address only once"
    } else {
        "with --dual-stack, an IPv6 address also accepts IPv4 connections"
    }
}

/// Describes the error, with advice if the system's message contains none.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{error}; stop the other program, or use another port (0 selects a free one)")
        }
        io::ErrorKind::AddrNotAvailable => format!("{error}; no local interface has this address"),
        io::ErrorKind::PermissionDenied => format!("{error}; ports below 1024 require privileges"),
        _ => error.to_string(),
    }
}

/// Error type for the result of `main`, created by `?` from any other error.
///
/// The standard library prints an error that `main` returns with `Debug`. The `Debug` output of this type is the message of the
/// error. The process ends with exit code 1.
///
/// ```should_panic
/// fn main() -> Result<(), sinbin::MainError> {
///     // Error: invalid socket address syntax
///     let address: std::net::SocketAddr = "nowhere".parse()?;
///     println!("{address}");
///     Ok(())
/// }
/// ```
pub struct MainError(Box<dyn std::error::Error>);

impl<E: Into<Box<dyn std::error::Error>>> From<E> for MainError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for MainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
