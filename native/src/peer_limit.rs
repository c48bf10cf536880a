//! The limit of connections of one peer: a peer that has as many as one may have gets no other.

use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use sinbin_core::SourceId;
use sinbin_core::peers::{Peer, Peers};
use socket2::SockRef;

/// How often the log says that peers are turned away.
const PERIOD: Duration = Duration::from_secs(1);

/// Counts the connections of each peer, where there is a limit, and turns away what is above it.
pub(crate) struct PeerLimit {
    peers: Peers,
    /// When the log last said so, and how many were turned away since.
    logged: Option<Instant>,
    unsaid: u64,
}

impl PeerLimit {
    /// Creates a gate that lets each peer have `limit` connections at a time.
    pub(crate) const fn new(limit: Option<NonZeroU32>) -> Self {
        Self { peers: Peers::new(limit), logged: None, unsaid: 0 }
    }

    /// Lets a connection in as `source`, or returns false: then it is reset when it is dropped.
    #[inline]
    pub(crate) fn admit(&mut self, source: SourceId, stream: &TcpStream, peer: SocketAddr) -> bool {
        if !self.peers.are_limited() {
            return true;
        }
        let is_admitted = self.peers.admit(peer.ip());
        if is_admitted {
            self.peers.enter(source, peer.ip());
        } else {
            self.turn_away(stream, peer);
        }
        is_admitted
    }

    /// Counts the connection no longer, and returns whose it was, if that was counted.
    #[inline]
    pub(crate) fn leave(&mut self, source: SourceId) -> Option<Peer> {
        if self.peers.are_limited() { self.peers.leave(source) } else { None }
    }

    /// Counts a connection that was under another name.
    pub(crate) fn rename(&mut self, source: SourceId, peer: Option<Peer>) {
        self.peers.rename(source, peer);
    }

    /// Has the connection reset, so that the system keeps nothing of it, and says so once in a while.
    #[cold]
    fn turn_away(&mut self, stream: &TcpStream, peer: SocketAddr) {
        // A connection that can't be reset is closed.
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
