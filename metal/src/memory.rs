//! The memory of the sockets, which belongs to the caller.

use heapless::Vec;
use sinbin_core::{Instant, SourceId};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;

/// The memory of `N` sockets, each with a buffer for `RX` received and `TX` unsent bytes, in a static.
///
/// ```
/// # use sinbin_metal::SocketMemory;
/// let memory = Box::leak(Box::new(SocketMemory::<4, 512, 512>::new()));
/// assert_eq!(memory.sockets().len(), 4);
/// ```
pub struct SocketMemory<const N: usize, const RX: usize = 512, const TX: usize = 512> {
    /// The sockets, in a vector that is empty at first: an unused socket is not all zero.
    storage: Vec<SocketStorage<'static>, N>,
    slots: [Slot; N],
    received: [[u8; RX]; N],
    unsent: [[u8; TX]; N],
}

impl<const N: usize, const RX: usize, const TX: usize> Default for SocketMemory<N, RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const RX: usize, const TX: usize> SocketMemory<N, RX, TX> {
    /// Creates the memory, all zero, so that a static of it takes no space in flash.
    #[must_use]
    pub const fn new() -> Self {
        Self { storage: Vec::new(), slots: [Slot::EMPTY; N], received: [[0; RX]; N], unsent: [[0; TX]; N] }
    }

    /// Creates the sockets, which use this memory from now on.
    #[must_use]
    pub fn sockets(&'static mut self) -> Sockets {
        let Self { storage, slots, received, unsent } = self;
        while storage.push(SocketStorage::EMPTY).is_ok() {}
        let mut set = SocketSet::new(&mut storage[..]);
        for ((slot, received), unsent) in slots.iter_mut().zip(received).zip(unsent) {
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(&mut received[..]),
                tcp::SocketBuffer::new(&mut unsent[..]),
            );
            // Replies are sent at once, as natively.
            socket.set_nagle_enabled(false);
            slot.handle = Some(set.add(socket));
        }
        Sockets { set, slots }
    }
}

/// The sockets of a board, and what each is used for.
pub struct Sockets {
    pub(crate) set: SocketSet<'static>,
    pub(crate) slots: &'static mut [Slot],
}

impl Sockets {
    /// Returns the number of sockets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns true if there is no socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// A socket and its use.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    /// The socket; `None` until it is created.
    pub(crate) handle: Option<SocketHandle>,
    pub(crate) used: Use,
}

impl Slot {
    const EMPTY: Self = Self { handle: None, used: Use::Free };
}

/// The use of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// No listener needs the socket.
    Free,
    /// The socket listens, or has a connection that is not accepted yet.
    Listening(SourceId),
    /// The socket is a connection of the loop.
    Conn(SourceId),
    /// The connection is closed, and its last bytes have until this moment to be delivered.
    Leaving(Instant),
}
