//! The order and the pace of attempts to connect to a name with several addresses (RFC 8305).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// The time after which an attempt is joined by the next one.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The maximum number of addresses that are tried.
const MAX_ADDRESSES: usize = 32;

/// Returns the addresses in the order in which they are to be tried: the families take turns, beginning with that of the
/// first address, and the order within a family is kept. At most 32 are tried.
pub fn attempt_order(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let is_first = addresses.peek().map(SocketAddr::is_ipv4);
    let (ours, theirs): (Vec<_>, Vec<_>) = addresses.partition(|address| Some(address.is_ipv4()) == is_first);
    let (mut ours, mut theirs) = (ours.into_iter(), theirs.into_iter());
    let mut sorted = VecDeque::new();
    loop {
        let pair = [ours.next(), theirs.next()];
        if pair == [None, None] {
            sorted.truncate(MAX_ADDRESSES);
            return sorted;
        }
        sorted.extend(pair.into_iter().flatten());
    }
}
