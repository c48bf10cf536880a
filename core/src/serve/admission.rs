//! The room that a loop has for connections.

use alloc::vec::Vec;
use core::mem;

use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;

/// The count of connections, with those that are read out, and the closed ones that wait to be read out. `C` is a closed
/// connection.
#[derive(Debug)]
pub struct Admission<C> {
    open: usize,
    limit: usize,
    /// Listeners whose acceptors found no room since acceptors were last woken.
    crowded: Vec<SourceId>,
    /// A connection has gone since acceptors were last woken.
    is_relieved: bool,
    /// Closed connections that have something unread.
    unread: Vec<C>,
}

impl<C> Admission<C> {
    /// Creates a room for `limit` connections.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { open: 0, limit, crowded: Vec::new(), is_relieved: false, unread: Vec::new() }
    }

    /// Returns how many connections there are.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Returns true if there is room for another one.
    #[must_use]
    #[inline]
    pub const fn has_room(&self) -> bool {
        self.open < self.limit
    }

    /// Checks that there is room for another connection of `listener`.
    ///
    /// # Errors
    ///
    /// [`IoError::NoRoom`] if there is none: the listener's acceptor is woken when a connection has gone.
    #[inline]
    pub fn check(&mut self, listener: SourceId) -> Result<(), IoError> {
        if self.has_room() { Ok(()) } else { Err(self.crowd(listener)) }
    }

    /// Notes that there is no room for a connection of `listener`, for whatever reason, so that its acceptor is woken when a
    /// connection has gone. Returns [`IoError::NoRoom`].
    #[cold]
    pub fn crowd(&mut self, listener: SourceId) -> IoError {
        // A listener takes the entry of a former one of its index, since tasks may open and close listeners for as long as
        // there is no room: the list would grow.
        match self.crowded.iter_mut().find(|known| known.index() == listener.index()) {
            Some(known) => *known = listener,
            None => self.crowded.push(listener),
        }
        IoError::NoRoom
    }

    /// Returns true if an acceptor has found no room and was not woken since.
    #[must_use]
    pub const fn is_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }

    /// Counts another connection.
    #[inline]
    pub fn enter(&mut self) {
        self.open += 1;
    }

    /// Counts `count` connections no longer.
    #[inline]
    pub fn leave(&mut self, count: usize) {
        self.open = self.open.saturating_sub(count);
        self.is_relieved |= count > 0;
    }

    /// Keeps a closed connection to be read out, and goes on counting it. Were its socket closed at once, its peer might lose
    /// what was sent to it last.
    pub fn linger(&mut self, connection: C) {
        self.unread.push(connection);
    }

    /// Takes the connections that are to be read out.
    #[inline]
    pub(super) fn take_unread(&mut self) -> Vec<C> {
        mem::take(&mut self.unread)
    }

    /// Takes the listeners whose acceptors are to be woken: they found no room, and there is some now.
    #[inline]
    pub(super) fn take_relieved(&mut self) -> Vec<SourceId> {
        if mem::take(&mut self.is_relieved) { mem::take(&mut self.crowded) } else { Vec::new() }
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
        assert_eq!((room.open(), room.take_relieved()), (0, Vec::new()));
    }
}
