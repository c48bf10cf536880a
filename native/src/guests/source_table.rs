//! The host's table of sources, with the state of each source.

use std::mem;
use std::ops::Range;

use sinbin_core::{Instant, Interest, SourceId};

/// The role of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A listener, from which the guest may accept connections.
    Listener,
    /// A connection that the guest uses.
    Connection,
    /// An attempt to connect for the guest.
    Connecting,
    /// A connection that the guest has closed, and that still has bytes to send.
    Closing,
    /// A connection whose bytes are all sent. Its input is discarded.
    Lingering,
}

/// The host's state of a source. The state is accessed for each request, so it is small: 32 bytes with its generation.
#[derive(Debug)]
pub(crate) struct SourceState {
    /// The range of the source's received bytes in the input of the current turn.
    piece: Range<u32>,
    /// State that few sources have.
    kept: Option<Box<Kept>>,
    pub(crate) role: Role,
    /// The interest that the guest has set.
    pub(crate) interest: Interest,
    /// The interest that the reactor watches.
    pub(crate) watched: Interest,
    /// True if the sending direction is to be shut down when all bytes are sent.
    pub(crate) shutdown: bool,
    /// True if the peer has sent its last byte.
    pub(crate) ended: bool,
    /// True if the connection is broken.
    pub(crate) failed: bool,
    /// The events that the guest has received.
    pub(crate) told_hangup: bool,
    pub(crate) told_idle: bool,
}

/// Bytes that are stored for a source.
#[derive(Debug)]
struct Kept {
    /// The bytes that the guest passed back unread.
    unread: Vec<u8>,
    /// The bytes that could not be sent at once, and the number of them that are sent by now.
    rest: Vec<u8>,
    sent: usize,
    /// True if some bytes were sent since this flag was last read.
    moved: bool,
    /// The deadline for sending all bytes.
    until: Instant,
    /// True if the source is in the queue of reply timeouts. Until it is not, this struct is kept.
    timed: bool,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            unread: Vec::new(),
            rest: Vec::new(),
            sent: 0,
            moved: false,
            until: Instant::NEVER,
            timed: false,
        }
    }
}

impl SourceState {
    fn new(role: Role) -> Self {
        Self {
            piece: 0..0,
            kept: None,
            role,
            interest: Interest::NONE,
            watched: Interest::NONE,
            shutdown: false,
            ended: false,
            failed: false,
            told_hangup: false,
            told_idle: false,
        }
    }

    /// Returns the range of the source's received bytes in the input of the current turn.
    pub(crate) fn piece(&self) -> Range<usize> {
        self.piece.start as usize..self.piece.end as usize
    }

    /// Sets the range of the source's received bytes in the input of the current turn.
    pub(crate) fn set_piece(&mut self, piece: &Range<usize>) {
        let at = |place| u32::try_from(place).expect("within the limit of a turn");
        self.piece = at(piece.start)..at(piece.end);
    }

    /// Returns true if the guest wants more bytes, and no unread bytes are stored for it.
    pub(crate) fn is_hungry(&self) -> bool {
        let open = self.role == Role::Connection && !self.ended && !self.failed;
        open && self.interest.contains(Interest::RECV) && self.unread().is_empty()
    }

    /// Returns the bytes that the guest passed back unread.
    pub(crate) fn unread(&self) -> &[u8] {
        self.kept.as_ref().map_or(&[], |kept| &kept.unread)
    }

    /// Stores bytes that the guest passed back unread.
    pub(crate) fn keep_unread(&mut self, bytes: &[u8]) {
        self.kept.get_or_insert_default().unread.extend_from_slice(bytes);
    }

    /// Removes and returns the bytes that the guest passed back unread.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.kept.as_mut().map_or_else(Vec::new, |kept| mem::take(&mut kept.unread));
        self.tidy();
        unread
    }

    /// Returns the stored bytes that are not sent yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.kept.as_ref().map_or(&[], |kept| &kept.rest[kept.sent..])
    }

    /// Returns the deadline for sending the stored bytes, or [`Instant::NEVER`] if there are none.
    pub(crate) fn until(&self) -> Instant {
        self.kept.as_ref().map_or(Instant::NEVER, |kept| kept.until)
    }

    /// Marks the source as being in the queue of reply timeouts. Returns true if it was not in the queue before.
    pub(crate) fn set_timed(&mut self) -> bool {
        self.kept.as_mut().is_some_and(|kept| !mem::replace(&mut kept.timed, true))
    }

    /// Marks the source as removed from the queue of reply timeouts.
    pub(crate) fn end_timed(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.timed = false;
        }
        self.tidy();
    }

    /// Stores bytes that could not be sent. All stored bytes must be sent by `until`, or by the current deadline if
    /// that is earlier.
    pub(crate) fn keep(&mut self, bytes: &[u8], until: Instant) {
        let kept = self.kept.get_or_insert_default();
        kept.until = kept.until.min(until);
        // Removes the sent bytes. Otherwise, a buffer that is never empty would grow without limit.
        kept.rest.drain(..mem::take(&mut kept.sent));
        kept.rest.extend_from_slice(bytes);
    }

    /// Marks `count` of the stored bytes as sent.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Some(kept) = &mut self.kept {
            kept.sent += count;
            kept.moved |= count > 0;
        }
        self.tidy();
    }

    /// Returns true if stored bytes were sent since the last call.
    pub(crate) fn has_moved(&mut self) -> bool {
        self.kept.as_mut().is_some_and(|kept| mem::take(&mut kept.moved))
    }

    /// Discards the stored bytes that are not sent, and returns their number.
    pub(crate) fn drop_rest(&mut self) -> usize {
        let count = self.rest().len();
        self.sent(count);
        count
    }

    /// Releases memory that is no longer needed.
    fn tidy(&mut self) {
        self.kept.take_if(|kept| !kept.timed && kept.unread.is_empty() && kept.sent >= kept.rest.len());
        if let Some(kept) = &mut self.kept
            && kept.sent >= kept.rest.len()
        {
            kept.rest = Vec::new();
            kept.sent = 0;
            kept.until = Instant::NEVER;
        }
    }

    /// Returns the interest that the reactor should watch for a connection.
    pub(crate) fn wanted(&self) -> Interest {
        let mut wanted = Interest::NONE;
        match self.role {
            Role::Listener => return self.watched,
            Role::Lingering => return Interest::RECV,
            Role::Connecting => return Interest::SEND,
            Role::Connection | Role::Closing => {}
        }
        if self.failed {
            return wanted;
        }
        if self.is_hungry() {
            wanted = wanted | Interest::RECV;
        }
        let is_closing = self.role == Role::Closing;
        if is_closing || !self.rest().is_empty() || self.interest.contains(Interest::SEND) {
            wanted = wanted | Interest::SEND;
        }
        // A hangup is reported to the guest once. After that, the interest is removed, because the reactor would report
        // the hangup again and again.
        if self.interest.contains(Interest::HANGUP) && !self.told_hangup {
            wanted = wanted | Interest::HANGUP;
        }
        wanted
    }
}

struct Slot {
    generation: u32,
    place: Option<SourceState>,
}

const _: () = assert!(size_of::<Slot>() <= 32, "a slot has at most 32 bytes");

/// The table of all sources.
pub(crate) struct SourceTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl SourceTable {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Allocates a slot for a new source.
    pub(crate) fn insert(&mut self, role: Role) -> SourceId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, place: None });
            u32::try_from(self.slots.len() - 1).expect("fewer sources than descriptors")
        });
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.place.is_none(), "a free slot is empty");
        slot.place = Some(SourceState::new(role));
        SourceId::from_bits(u64::from(slot.generation) << 32 | u64::from(index))
    }

    /// Frees the slot. Its handle denotes nothing from here on.
    pub(crate) fn remove(&mut self, id: SourceId) -> Option<SourceState> {
        self.get(id)?;
        let slot = &mut self.slots[id.index()];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(u32::try_from(id.index()).expect("the index was allocated"));
        mem::take(&mut slot.place)
    }

    #[inline]
    pub(crate) fn get(&mut self, id: SourceId) -> Option<&mut SourceState> {
        let slot = self.slots.get_mut(id.index())?;
        let is_current = id.to_bits() >> 32 == u64::from(slot.generation);
        slot.place.as_mut().filter(|_| is_current)
    }

    /// Returns all sources that have one of these roles.
    pub(crate) fn of(&self, roles: &[Role]) -> Vec<SourceId> {
        let slots = self.slots.iter().enumerate();
        let named = slots.filter_map(|(index, slot)| {
            let place = slot.place.as_ref()?;
            let id = SourceId::from_bits(u64::from(slot.generation) << 32 | index as u64);
            roles.contains(&place.role).then_some(id)
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, Role, SourceTable};

    #[test]
    fn a_handle_never_names_its_successor() {
        let mut places = SourceTable::new();
        let first = places.insert(Role::Connection);
        assert!(places.remove(first).is_some());
        let second = places.insert(Role::Connection);
        assert_eq!(first.index(), second.index());
        assert!(places.get(first).is_none() && places.remove(first).is_none());
        assert!(places.get(second).is_some());
    }

    #[test]
    fn what_is_kept_comes_out_in_order() {
        let mut places = SourceTable::new();
        let id = places.insert(Role::Connection);
        let place = places.get(id).unwrap();
        place.keep(b"abc", Instant::from_nanos(7));
        place.sent(2);
        place.keep(b"de", Instant::from_nanos(9));
        assert_eq!(place.until(), Instant::from_nanos(7), "the earlier deadline is kept");
        assert_eq!(place.rest(), b"cde");
        place.sent(3);
        assert_eq!(place.rest(), b"");
        assert_eq!(place.until(), Instant::NEVER);
        assert_eq!(place.drop_rest(), 0);
    }
}
