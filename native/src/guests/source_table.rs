//! The host's table of sources: which handle names what, and what is under way for each.

use std::mem;
use std::ops::Range;

use sinbin_core::{Instant, Interest, SourceId};

/// What a source is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The guest may take connections from it.
    Listener,
    /// The guest's.
    Connection,
    /// The guest has closed it; what was sent last is not all out.
    Closing,
    /// All is out; what still comes in is thrown away.
    Lingering,
}

/// What the host knows of a source. It is looked at for each request, so it is small: 32 bytes with its generation.
#[derive(Debug)]
pub(crate) struct SourceState {
    /// Where in the input of this turn what was received lies.
    piece: Range<u32>,
    /// What few have.
    kept: Option<Box<Kept>>,
    pub(crate) role: Role,
    /// What the guest watches it for.
    pub(crate) interest: Interest,
    /// What the reactor watches.
    pub(crate) watched: Interest,
    /// The sending direction is to be ended when all is out.
    pub(crate) shutdown: bool,
    /// The peer has sent its last byte.
    pub(crate) ended: bool,
    /// The connection broke.
    pub(crate) failed: bool,
    /// What the guest was told.
    pub(crate) told_hangup: bool,
    pub(crate) told_idle: bool,
}

/// Bytes on their way.
#[derive(Debug)]
struct Kept {
    /// What the guest has handed back.
    unread: Vec<u8>,
    /// What could not be sent yet, and how much of it meanwhile is.
    rest: Vec<u8>,
    sent: usize,
    /// Some of it was sent since that was last looked at.
    moved: bool,
    /// When all of it has to be sent.
    until: Instant,
    /// The place is among those whose time to take what was sent is looked at. Until it is not, this stays.
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

    /// Where in the input of this turn what was received lies.
    pub(crate) fn piece(&self) -> Range<usize> {
        self.piece.start as usize..self.piece.end as usize
    }

    /// Something was received.
    pub(crate) fn set_piece(&mut self, piece: &Range<usize>) {
        let at = |place| u32::try_from(place).expect("within the limit of a turn");
        self.piece = at(piece.start)..at(piece.end);
    }

    /// Whether the guest takes more than it has.
    pub(crate) fn is_hungry(&self) -> bool {
        let open = self.role == Role::Connection && !self.ended && !self.failed;
        open && self.interest.contains(Interest::RECV) && self.unread().is_empty()
    }

    /// What the guest has handed back.
    pub(crate) fn unread(&self) -> &[u8] {
        self.kept.as_ref().map_or(&[], |kept| &kept.unread)
    }

    /// Keeps what the guest has handed back.
    pub(crate) fn keep_unread(&mut self, bytes: &[u8]) {
        self.kept.get_or_insert_default().unread.extend_from_slice(bytes);
    }

    /// Takes what the guest has handed back.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.kept.as_mut().map_or_else(Vec::new, |kept| mem::take(&mut kept.unread));
        self.tidy();
        unread
    }

    /// What could not be sent yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.kept.as_ref().map_or(&[], |kept| &kept.rest[kept.sent..])
    }

    /// When all that is kept has to be sent; [`Instant::NEVER`] where nothing is.
    pub(crate) fn until(&self) -> Instant {
        self.kept.as_ref().map_or(Instant::NEVER, |kept| kept.until)
    }

    /// Notes that the place is among those that are looked at when its time is over. Returns true if it was not before.
    pub(crate) fn set_timed(&mut self) -> bool {
        self.kept.as_mut().is_some_and(|kept| !mem::replace(&mut kept.timed, true))
    }

    /// Notes that the place is not among those any more.
    pub(crate) fn end_timed(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.timed = false;
        }
        self.tidy();
    }

    /// Keeps what could not be sent, which has to be by `until`, and with it what is kept already, if that is later.
    pub(crate) fn keep(&mut self, bytes: &[u8], until: Instant) {
        let kept = self.kept.get_or_insert_default();
        kept.until = kept.until.min(until);
        // Or it would grow with all that was ever sent, were it never empty.
        kept.rest.drain(..mem::take(&mut kept.sent));
        kept.rest.extend_from_slice(bytes);
    }

    /// So many bytes of the rest are sent.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Some(kept) = &mut self.kept {
            kept.sent += count;
            kept.moved |= count > 0;
        }
        self.tidy();
    }

    /// Whether some of the rest was sent since this was last asked.
    pub(crate) fn has_moved(&mut self) -> bool {
        self.kept.as_mut().is_some_and(|kept| mem::take(&mut kept.moved))
    }

    /// Lets go of the rest, and returns how much it was.
    pub(crate) fn drop_rest(&mut self) -> usize {
        let count = self.rest().len();
        self.sent(count);
        count
    }

    /// Gives back the memory of what is gone.
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

    /// What the reactor is to watch a connection for.
    pub(crate) fn wanted(&self) -> Interest {
        let mut wanted = Interest::NONE;
        match self.role {
            Role::Listener => return self.watched,
            Role::Lingering => return Interest::RECV,
            Role::Connection | Role::Closing => {}
        }
        if self.failed {
            return wanted;
        }
        if self.is_hungry() {
            wanted = wanted | Interest::RECV;
        }
        if !self.rest().is_empty() || self.interest.contains(Interest::SEND) {
            wanted = wanted | Interest::SEND;
        }
        // Reported once; a source that is watched at all would report it for ever.
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

const _: () = assert!(size_of::<Slot>() <= 32, "it is small");

/// All sources.
pub(crate) struct SourceTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl SourceTable {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// A handle for something new.
    pub(crate) fn insert(&mut self, role: Role) -> SourceId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, place: None });
            u32::try_from(self.slots.len() - 1).expect("fewer sources than descriptors")
        });
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.place.is_none(), "what is free is empty");
        slot.place = Some(SourceState::new(role));
        SourceId::from_bits(u64::from(slot.generation) << 32 | u64::from(index))
    }

    /// Frees the place: its handle names nothing from here on.
    pub(crate) fn remove(&mut self, id: SourceId) -> Option<SourceState> {
        self.get(id)?;
        let slot = &mut self.slots[id.index()];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(u32::try_from(id.index()).expect("it was given out"));
        mem::take(&mut slot.place)
    }

    #[inline]
    pub(crate) fn get(&mut self, id: SourceId) -> Option<&mut SourceState> {
        let slot = self.slots.get_mut(id.index())?;
        let is_current = id.to_bits() >> 32 == u64::from(slot.generation);
        slot.place.as_mut().filter(|_| is_current)
    }

    /// All of these roles.
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
        assert_eq!(place.until(), Instant::from_nanos(7), "the first that is kept is waited for");
        assert_eq!(place.rest(), b"cde");
        place.sent(3);
        assert_eq!(place.rest(), b"");
        assert_eq!(place.until(), Instant::NEVER);
        assert_eq!(place.drop_rest(), 0);
    }
}
