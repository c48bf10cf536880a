//! Counts of each peer's connections, for hosts that limit the connections per peer.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use core::net::IpAddr;
use core::num::NonZeroU32;

use crate::kernel::id::SourceId;
use crate::kernel::id_map::IdMap;

/// A peer: an IPv4 address, or the first 64 bits of an IPv6 address, since one subscriber usually has all addresses of
/// such a prefix. An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Peer(Prefix);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Prefix {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Prefix::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Prefix::V6([a, b, c, d, e, f, g, h])
            }
        })
    }
}

/// The number of connections of each peer, up to a limit. Memory is bounded by the number of connections. Without a
/// limit, nothing is counted and no memory is used.
///
/// ```
/// use core::num::NonZeroU32;
/// # use sinbin_core::SourceId;
/// # use sinbin_core::peers::Peers;
///
/// let mut peers = Peers::new(NonZeroU32::new(1));
/// let first = SourceId::from_bits(0);
/// assert!(peers.admit("127.0.0.1".parse()?));
/// peers.enter(first, "127.0.0.1".parse()?);
/// assert!(!peers.admit("::ffff:127.0.0.1".parse()?));
/// assert!(peers.admit("127.0.0.2".parse()?));
/// peers.leave(first);
/// assert!(peers.admit("127.0.0.1".parse()?));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Peers {
    limit: Option<NonZeroU32>,
    counts: BTreeMap<Peer, u32>,
    /// The peer of each connection.
    connections: IdMap<SourceId, Peer>,
}

impl Peers {
    /// Creates the counts, all zero. A peer may have `limit` connections at a time.
    #[must_use]
    pub const fn new(limit: Option<NonZeroU32>) -> Self {
        Self { limit, counts: BTreeMap::new(), connections: IdMap::new() }
    }

    /// Returns true if there is a limit.
    #[must_use]
    pub const fn are_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Returns true if the peer with this address may open another connection.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> bool {
        let Some(limit) = self.limit else { return true };
        self.counts.get(&Peer::from(address)).is_none_or(|count| *count < limit.get())
    }

    /// Counts a connection, under the id of its source.
    pub fn enter(&mut self, source: SourceId, address: IpAddr) {
        if self.limit.is_some() {
            self.put(source, Peer::from(address));
        }
    }

    /// Counts a connection again after it [left](Self::leave), under the id of another source.
    pub fn rename(&mut self, source: SourceId, peer: Option<Peer>) {
        if let Some(peer) = peer {
            self.put(source, peer);
        }
    }

    /// Removes a connection from the counts and returns its peer.
    pub fn leave(&mut self, source: SourceId) -> Option<Peer> {
        let peer = self.connections.remove(source)?;
        if let Entry::Occupied(mut entry) = self.counts.entry(peer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        Some(peer)
    }

    fn put(&mut self, source: SourceId, peer: Peer) {
        if let Some((former, _)) = self.connections.at(source.index()) {
            self.leave(former);
        }
        self.connections.insert(source, peer);
        *self.counts.entry(peer).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::{Peer, Peers, SourceId};

    fn peer(text: &str) -> Peer {
        Peer::from(text.parse::<core::net::IpAddr>().expect("an address"))
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_64_bits_of_ipv6() {
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("2001:db8:0:1::1"), peer("2001:db8:0:1:ffff::"));
        assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8:0:2::1"));
        assert_ne!(peer("::10.0.0.1"), peer("10.0.0.1"));
    }

    #[test]
    fn a_connection_that_has_left_is_counted_no_longer() {
        let mut peers = Peers::new(NonZeroU32::new(2));
        assert!(peers.are_limited());
        let address = "10.0.0.1".parse().expect("an address");
        let source = SourceId::from_bits;
        peers.enter(source(0), address);
        peers.enter(source(1), address);
        assert!(!peers.admit(address));
        assert_eq!(peers.leave(source(1 << 32)), None, "the slot's former source is gone");
        // A slot that was reused for another source no longer finds the former one.
        peers.enter(source(1 | 1 << 32), address);
        assert_eq!(peers.leave(source(1)), None);
        assert!(!peers.admit(address));
        let moved = peers.leave(source(1 | 1 << 32));
        assert!(moved.is_some() && peers.admit(address));
        peers.rename(source(5), moved);
        assert!(!peers.admit(address));
        assert!(peers.leave(source(5)).is_some() && peers.leave(source(0)).is_some());
        assert!(peers.counts.is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut peers = Peers::new(None);
        assert!(!peers.are_limited());
        let address = "10.0.0.1".parse().expect("an address");
        for number in 0..100 {
            assert!(peers.admit(address));
            peers.enter(SourceId::from_bits(number), address);
        }
        assert!(peers.counts.is_empty() && peers.connections.places() == 0);
    }
}
