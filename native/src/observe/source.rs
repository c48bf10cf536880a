//! The kinds of sources, and their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::Interest;

use crate::observe::header::ADDRESS_WORDS;

/// The kind of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SourceKind {
    /// A socket that the loop has noted nothing about.
    Unknown,
    /// A listener; the address is its own.
    Listener,
    /// A connection that was accepted; the address is the peer's.
    Accepted,
    /// A connection that a task has made; the address is the peer's.
    Connected,
    /// A connection that was made elsewhere.
    Adopted,
    /// A closed connection whose input is read to its end.
    Lingering,
}

const KINDS: [SourceKind; 6] = [
    SourceKind::Unknown,
    SourceKind::Listener,
    SourceKind::Accepted,
    SourceKind::Connected,
    SourceKind::Adopted,
    SourceKind::Lingering,
];

impl SourceKind {
    /// Returns the name of the kind, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "source",
            Self::Listener => "listener",
            Self::Accepted => "accepted",
            Self::Connected => "connected",
            Self::Adopted => "adopted",
            Self::Lingering => "lingering",
        }
    }
}

/// A source, as its loop has noted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The kind of the source.
    pub kind: SourceKind,
    /// The address of a listener, or of the peer of a connection, if it is known.
    pub address: Option<SocketAddr>,
}

/// Writes the row of a source. A reader sees the row before or after this, never in between.
pub(crate) fn write(row: &[AtomicU32], generation: u32, source: Source) {
    let [first, rest @ ..] = row else { return };
    first.store(0, Ordering::Relaxed);
    fence(Ordering::Release);
    write_address(rest, source.kind as u32, source.address);
    first.store(generation, Ordering::Release);
}

/// Writes a kind, which is less than 256, and an address into five words.
pub(crate) fn write_address(row: &[AtomicU32], kind: u32, address: Option<SocketAddr>) {
    let (family, port, address) = match address {
        None => (0, 0, [0; 16]),
        Some(address) => {
            let (family, bytes) = match address.ip() {
                IpAddr::V4(ip) => (4, ip.to_ipv6_compatible().octets()),
                IpAddr::V6(ip) => (6, ip.octets()),
            };
            (family, u32::from(address.port()), bytes)
        }
    };
    let words = [kind | family << 8 | port << 16].into_iter();
    let address = address.chunks_exact(4).map(|four| u32::from_ne_bytes(four.try_into().unwrap_or_default()));
    for (word, value) in row.iter().zip(words.chain(address)) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Notes what a guest waits for on the source of the row.
pub(crate) fn set_interest(row: &[AtomicU32], interest: Interest) {
    if let Some(head) = row.get(1) {
        let rest = head.load(Ordering::Relaxed) & !(0xf << 12);
        head.store(rest | u32::from(interest.bits()) << 12, Ordering::Relaxed);
    }
}

/// Returns what a guest waits for on the source of the row.
pub(crate) fn interest(words: &[u32; ADDRESS_WORDS]) -> Interest {
    Interest::from_bits((words[1] >> 12 & 0xf) as u8)
}

/// Decodes the words of a row, without its generation.
pub(crate) fn decode(words: &[u32; ADDRESS_WORDS]) -> Source {
    let [_, words @ ..] = words;
    let (kind, address) = decode_address(words);
    Source { kind: KINDS.get(kind).copied().unwrap_or(SourceKind::Unknown), address }
}

/// Decodes the words that [`write_address`] has written: the kind, and the address.
pub(crate) fn decode_address(words: &[u32; ADDRESS_WORDS - 1]) -> (usize, Option<SocketAddr>) {
    let [head, address @ ..] = words;
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(address) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let port = (head >> 16) as u16;
    let address = match head >> 8 & 0xf {
        4 => Some(IpAddr::V4(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
        _ => None,
    };
    ((head & 0xff) as usize, address.map(|ip| SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use std::array;

    use super::*;

    #[test]
    fn what_is_written_is_decoded() {
        let addresses = [None, Some("127.0.0.1:25000"), Some("[2001:db8::7]:65535"), Some("[::1]:1")];
        for (kind, address) in KINDS.into_iter().flat_map(|kind| addresses.map(|address| (kind, address))) {
            let source = Source { kind, address: address.map(|address| address.parse().unwrap()) };
            let row: [AtomicU32; ADDRESS_WORDS] = array::from_fn(|_| AtomicU32::new(77));
            write(&row, 5, source);
            let words = row.map(AtomicU32::into_inner);
            assert_eq!((words[0], decode(&words), interest(&words)), (5, source, Interest::NONE));
            let row = words.map(AtomicU32::new);
            set_interest(&row, Interest::SEND | Interest::HANGUP);
            let words = row.map(AtomicU32::into_inner);
            assert_eq!((decode(&words), interest(&words)), (source, Interest::SEND | Interest::HANGUP));
        }
    }
}
