//! Admission: the capacity of a loop for connections.

use core::mem;

use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::serve::list::{CONNECTIONS, LISTENERS, List, push};

/// The number of connections, lingering ones included, and the closed connections that have unread input. `C` is a
/// closed connection. Without a heap, the capacity is at most 128 connections.
#[derive(Debug)]
pub struct Admission<C> {
    open: usize,
    limit: usize,
    /// The listeners whose acceptors found no capacity since acceptors were last woken.
    crowded: List<SourceId, LISTENERS>,
    /// Set if a connection has gone since acceptors were last woken.
    is_relieved: bool,
    /// The closed connections with unread input.
    unread: List<C, CONNECTIONS>,
}

impl<C> Admission<C> {
    /// Creates an empty count with a capacity of `limit` connections.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        #[cfg(not(feature = "alloc"))]
        let limit = if limit < CONNECTIONS { limit } else { CONNECTIONS };
        Self { open: 0, limit, crowded: List::new(), is_relieved: false, unread: List::new() }
    }

    /// Returns the number of connections.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Returns true if there is capacity for another connection.
    #[must_use]
    #[inline]
    pub const fn has_room(&self) -> bool {
        self.open < self.limit
    }

    /// Checks the capacity for another connection of `listener`.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::NoRoom`] if there is none. The listener's acceptor is woken when a connection has gone.
    #[inline]
    pub fn check(&mut self, listener: SourceId) -> Result<(), IoError> {
        if self.has_room() { Ok(()) } else { Err(self.crowd(listener)) }
    }

    /// Notes that `listener` lacks capacity for a connection, for any reason, so that its acceptor is woken when a
    /// connection has gone. Returns [`IoError::NoRoom`].
    #[cold]
    pub fn crowd(&mut self, listener: SourceId) -> IoError {
        // A listener replaces a former listener with the same index. Otherwise the list would grow if tasks open and
        // close listeners while there is no capacity.
        match self.crowded.iter_mut().find(|known| known.index() == listener.index()) {
            Some(known) => *known = listener,
            // A listener that is not on a full list tries again by itself.
            None => drop(push(&mut self.crowded, listener)),
        }
        IoError::NoRoom
    }

    /// Returns true if an acceptor found no capacity and was not woken since.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }

    /// Adds a connection to the count.
    #[inline]
    pub fn enter(&mut self) {
        self.open += 1;
    }

    /// Removes `count` connections from the count.
    #[inline]
    pub fn leave(&mut self, count: usize) {
        self.open = self.open.saturating_sub(count);
        self.is_relieved |= count > 0;
    }

    /// Keeps a closed connection until its input is read, and keeps counting it. If its socket were closed at once, the
    /// peer might lose the last bytes that were sent to it.
    pub fn linger(&mut self, connection: C) {
        let pushed = push(&mut self.unread, connection);
        debug_assert!(pushed.is_ok(), "each connection on the list is counted, up to the limit");
    }

    /// Returns the closed connections with unread input. Without a heap, removing them moves the whole list.
    #[inline]
    pub(super) fn unread(&self) -> &[C] {
        &self.unread
    }

    /// Removes and returns the closed connections with unread input.
    #[inline]
    pub(super) fn take_unread(&mut self) -> List<C, CONNECTIONS> {
        mem::take(&mut self.unread)
    }

    /// Removes and returns the listeners whose acceptors are to be woken, because they found no capacity before and a
    /// connection has gone.
    #[inline]
    pub(super) fn take_relieved(&mut self) -> List<SourceId, LISTENERS> {
        if mem::take(&mut self.is_relieved) { mem::take(&mut self.crowded) } else { List::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_woken_once_and_one_that_took_its_place_instead_of_it() {
        let mut room: Admission<()> = Admission::new(1);
        let id = SourceId::from_bits;
        assert_eq!(room.check(id(1)), Ok(()));
        room.enter();
        for listener in [id(1), id(1), id(2), id(1 | 1 << 32)] {
            assert_eq!(room.check(listener), Err(IoError::NoRoom));
        }
        assert_eq!(room.take_relieved(), []);
        room.leave(1);
        assert_eq!(room.take_relieved(), [id(1 | 1 << 32), id(2)]);
        assert!(!room.is_crowded());
        room.leave(1);
        assert_eq!((room.open(), room.take_relieved()), (0, List::new()));
    }
}
