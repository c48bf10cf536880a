//! What can go wrong with a server as a whole.

use std::io;
use std::net::SocketAddr;

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {}", reason(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// An address cannot be listened on beside another one of the same server.
    #[error("cannot listen on {address}: this server listens on {other} already; {}", instead(*.address, *.other))]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Where the server listens already.
        other: SocketAddr,
    },
    /// None of the addresses can be listened on.
    #[error("cannot listen: {}", reason(.0))]
    Bind(#[source] io::Error),
    /// The program ended without a result: its task panicked, or was cancelled.
    #[error("the program's task panicked or was cancelled before it came to a result")]
    JobError,
    /// The system gives no poller, or it failed.
    #[error("cannot wait for readiness: {0}")]
    Poller(#[source] io::Error),
    /// There is no place for another listener or connection.
    #[error("there is no place for another task; the limit is {limit}")]
    Full {
        /// How many tasks there can be.
        limit: usize,
    },
    /// A socket could not be prepared.
    #[error("cannot prepare a connection: {0}")]
    Prepare(#[source] io::Error),
    /// Every task waits for another: nothing can wake them.
    #[error("no task can go on, and nothing can wake them:{list}")]
    Stalled {
        /// How many tasks there are.
        tasks: usize,
        /// Each on a line of its own, with what it waits for.
        list: String,
    },
}

impl Error {
    /// Names the listener that is in the way, where an address is in use and it is one of `ours`.
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

/// Advice where two addresses of one server are in each other's way.
fn instead(address: SocketAddr, other: SocketAddr) -> &'static str {
    if address.is_ipv4() == other.is_ipv4() {
        "name each address once"
    } else {
        "with --dual-stack, an IPv6 address takes IPv4 connections too"
    }
}

/// What to do about it, where the system's words do not say.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{error}; stop the other program, or take another port (0 finds a free one)")
        }
        io::ErrorKind::AddrNotAvailable => format!("{error}; no interface of this machine has it"),
        io::ErrorKind::PermissionDenied => format!("{error}; ports below 1024 want rights"),
        _ => error.to_string(),
    }
}
