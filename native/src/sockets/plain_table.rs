//! The table of sockets without TLS: each connection is as ready as its descriptor.

use std::net::{SocketAddr, TcpStream};

use sinbin_core::{IoError, Readiness, SourceId};

use super::{Socket, Sockets};
use crate::reactor::Until;

impl Sockets {
    /// Inserts a connection that a listener has accepted.
    pub(crate) fn insert_accepted(
        &mut self,
        _: SourceId,
        id: SourceId,
        stream: TcpStream,
        _: Option<SocketAddr>,
    ) {
        self.insert(id, Socket::Stream(stream), false);
    }

    #[cold]
    pub(super) fn recv_tls(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Err(not_connected())
    }

    #[cold]
    pub(super) fn send_tls(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        Err(not_connected())
    }

    #[cold]
    pub(super) fn shutdown_tls(&mut self, _: SourceId) -> Result<(), IoError> {
        Err(not_connected())
    }

    /// Discards what a connection still receives.
    pub(crate) fn linger(&mut self, _: SourceId) {}

    /// Returns true if the peer of a connection speaks TLS.
    pub(crate) fn is_tls(&self, _: SourceId) -> bool {
        false
    }

    /// Returns true if the connection stores bytes that the system has not accepted yet.
    pub(crate) fn has_unsent(&self, _: SourceId) -> bool {
        false
    }

    /// Returns true if a closed connection may take more time, since the system has accepted stored bytes.
    pub(crate) fn has_moved(&mut self, _: SourceId) -> bool {
        false
    }

    /// Returns the number of closed connections that store bytes which the system has not accepted yet.
    pub(crate) fn leaving(&self) -> usize {
        0
    }

    /// From now on, cuts off connections that are closed.
    pub(crate) fn cut(&mut self) {}

    /// Returns the end of a wait.
    #[inline]
    pub(crate) fn before_wait(&mut self, until: Until) -> Until {
        until
    }

    /// Returns the source at `index`, and what it is ready for.
    #[inline]
    pub(crate) fn event(&mut self, index: usize, readiness: Readiness) -> Option<(SourceId, Readiness)> {
        self.entries.at(index).map(|(id, _)| (id, readiness))
    }

    /// Reports nothing: no connection is ready but those of the wait.
    #[inline]
    pub(crate) fn after_wait(&mut self, _: impl FnMut(SourceId, Readiness)) {}
}

/// Returns the error of an operation on a source that is no connection.
fn not_connected() -> IoError {
    std::io::Error::from(std::io::ErrorKind::NotConnected).into()
}
