//! The limit of connections per peer: a connection from a peer that is at the limit is refused.

use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use sinbin_core::SourceId;
use sinbin_core::peers::{Peer, Peers};
use socket2::SockRef;

/// The minimum interval between two log lines about refused connections.
const PERIOD: Duration = Duration::from_secs(1);

/// A counter of the connections of each peer, which refuses connections above the limit.
pub(crate) struct PeerLimit {
    peers: Peers,
    /// The time of the last log line, and the number of connections refused since then.
    logged: Option<Instant>,
    unsaid: u64,
}

impl PeerLimit {
    /// Creates a limit that allows each peer `limit` connections at a time.
    pub(crate) const fn new(limit: Option<NonZeroU32>) -> Self {
        Self { peers: Peers::new(limit), logged: None, unsaid: 0 }
    }

    /// Admits a connection under the id `source`, or returns false if it is refused. A refused connection is reset when
    /// it is dropped.
    #[inline]
    pub(crate) fn admit(&mut self, source: SourceId, stream: &TcpStream, peer: Option<SocketAddr>) -> bool {
        // A Unix socket is open to local users only, and has no address to count by.
        let Some(peer) = peer.filter(|_| self.peers.are_limited()) else { return true };
        let is_admitted = self.peers.admit(peer.ip());
        if is_admitted {
            self.peers.enter(source, peer.ip());
        } else {
            self.turn_away(stream, peer);
        }
        is_admitted
    }

    /// Removes a connection from the count. Returns its peer if the connection was counted.
    #[inline]
    pub(crate) fn leave(&mut self, source: SourceId) -> Option<Peer> {
        if self.peers.are_limited() { self.peers.leave(source) } else { None }
    }

    /// Counts a connection under a new id. The connection was counted under another id before.
    pub(crate) fn rename(&mut self, source: SourceId, peer: Option<Peer>) {
        self.peers.rename(source, peer);
    }

    /// Makes the socket reset the connection when it is dropped, so that the system keeps no state of it. Logs this at
    /// most once per [`PERIOD`].
    #[cold]
    fn turn_away(&mut self, stream: &TcpStream, peer: SocketAddr) {
        // If this fails, the connection is closed instead of reset.
        SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
        self.unsaid += 1;
        if self.logged.is_some_and(|last| last.elapsed() < PERIOD) {
            return;
        }
        self.logged = Some(Instant::now());
        let count = std::mem::take(&mut self.unsaid);
        tracing::warn!(%peer, count, "turned away: the peer has as many connections as --max-per-peer lets one have");
    }
}
