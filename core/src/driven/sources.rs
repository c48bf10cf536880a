//! What the tasks' side knows of each source: its two names, what is there to be received, and what may be sent.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::Range;

use crate::driven::{Command, SourceHandle};
use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::kernel::id_map::IdMap;
use crate::kernel::interest::{Interest, Readiness};
use crate::kernel::slab::NONE;

/// The bytes of a peer's address.
pub(super) const ADDRESS: usize = 18;

/// However many tasks there can be: places of handles in use.
const MOST: usize = 1 << 24;

/// Conditions that last.
const ENDED: u8 = 1;
const FAILED: u8 = 2;
const HUNG_UP: u8 = 4;
const STUCK: u8 = 8;
/// The service stops, and there is nothing to read. The one condition that is taken by a look at it.
const IDLE: u8 = 16;
/// On the list of those that something happened to in this call.
const TOUCHED: u8 = 32;
/// On the list of those whose interest is not what the driver was told last.
const CHANGED: u8 = 64;
/// On the list of those that have sent.
const SENT: u8 = 128;

/// A source. At rest it has no bytes: what was received is in the input of the call.
pub(super) struct Entry {
    pub(super) handle: SourceHandle,
    /// Where in the input that is which was received and not taken.
    start: u32,
    end: u32,
    /// Of a listener: connections that wait to be taken.
    arrivals: u32,
    /// Bytes sent since the driver was last called.
    used: u32,
    interest: Interest,
    /// What the driver was told of it.
    told: Interest,
    flags: u8,
    peer: Option<[u8; ADDRESS]>,
}

impl Entry {
    fn is(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Bytes were received. Whether that is so: a call has one piece of each source.
    pub(super) fn received(&mut self, place: Range<u32>) -> bool {
        let is_first = self.start == self.end;
        if is_first {
            self.flags &= !IDLE;
            (self.start, self.end) = (place.start, place.end);
        }
        is_first
    }

    pub(super) fn ended(&mut self) {
        self.flags |= ENDED;
    }

    pub(super) fn failed(&mut self) {
        self.flags |= FAILED;
    }

    pub(super) fn hung_up(&mut self) {
        self.flags |= HUNG_UP;
    }

    pub(super) fn idle(&mut self) {
        self.flags |= IDLE;
    }

    pub(super) fn stuck(&mut self) {
        self.flags |= STUCK;
    }

    pub(super) fn writable(&mut self) {
        self.flags &= !STUCK;
    }

    /// A connection waits to be taken.
    pub(super) fn arrived(&mut self) {
        self.arrivals += 1;
    }

    /// One was taken.
    pub(super) fn taken(&mut self) {
        self.arrivals = self.arrivals.saturating_sub(1);
    }

    /// Whose connection it is.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let (ip, port) = self.peer.as_ref()?.split_first_chunk::<16>()?;
        let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
        Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
    }

    /// What is so of it, and waited for.
    fn due(&self, window: u32) -> Readiness {
        let mut due = Interest::NONE;
        let has_come = self.start < self.end || self.arrivals > 0;
        if self.interest.contains(Interest::RECV) && (has_come || self.is(ENDED | FAILED | IDLE)) {
            due = due | Interest::RECV;
        }
        if self.interest.contains(Interest::SEND)
            && (self.is(FAILED) || !self.is(STUCK) && self.used < window)
        {
            due = due | Interest::SEND;
        }
        if self.interest.contains(Interest::HANGUP) && self.is(HUNG_UP | FAILED) {
            due = due | Interest::HANGUP;
        }
        due
    }
}

/// All sources, by both of their names, and the lists of those that there is something to do for.
#[derive(Default)]
pub(super) struct Sources {
    entries: IdMap<SourceId, Entry>,
    /// By the index of a handle, the index of the entry.
    by_handle: Vec<u32>,
    /// How large a handle's index can be.
    limit: usize,
    window: u32,
    touched: Vec<SourceId>,
    changed: Vec<SourceId>,
    sent: Vec<SourceId>,
}

impl Sources {
    /// A table for so many tasks. A driver may have more sources than that, on their way in or out; that their handles
    /// are dense is what it promises, and what bounds the table.
    pub(super) fn new(tasks: usize) -> Self {
        Self { limit: tasks.saturating_mul(4).saturating_add(1024).min(MOST), ..Self::default() }
    }

    /// Begins a call: what was sent in the last one is out, unless the driver says else.
    pub(super) fn begin(&mut self, window: u32) {
        self.window = window;
        for id in self.sent.drain(..) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.flags &= !SENT;
                entry.used = 0;
                if entry.interest.contains(Interest::SEND) && !entry.is(TOUCHED) {
                    entry.flags |= TOUCHED;
                    self.touched.push(id);
                }
            }
        }
    }

    /// Whether a handle can be given a source.
    pub(super) fn is_free(&self, handle: SourceHandle) -> bool {
        index(handle) < self.limit && !self.is_taken(handle)
    }

    /// Whether the place of a handle has a source.
    pub(super) fn is_taken(&self, handle: SourceHandle) -> bool {
        self.by_handle.get(index(handle)).is_some_and(|entry| *entry != NONE)
    }

    pub(super) fn insert(&mut self, id: SourceId, handle: SourceHandle, peer: Option<[u8; ADDRESS]>) {
        let index = index(handle);
        if self.by_handle.len() <= index {
            self.by_handle.resize(index + 1, NONE);
        }
        self.by_handle[index] = id.index;
        let entry = Entry {
            handle,
            start: 0,
            end: 0,
            arrivals: 0,
            used: 0,
            interest: Interest::NONE,
            told: Interest::NONE,
            flags: 0,
            peer,
        };
        self.entries.insert(id, entry);
    }

    /// Forgets a source, and returns the driver's name of it.
    pub(super) fn remove(&mut self, id: SourceId) -> Option<SourceHandle> {
        let Entry { handle, .. } = self.entries.remove(id)?;
        self.by_handle[index(handle)] = NONE;
        Some(handle)
    }

    /// The source of which the driver speaks; from here on it is looked at again in this call.
    pub(super) fn touch(&mut self, handle: SourceHandle) -> Option<&mut Entry> {
        self.touch_and_name(handle).map(|(_, entry)| entry)
    }

    /// Touches a source as [`touch`](Self::touch) does, and returns the core's name of it too.
    pub(super) fn touch_and_name(&mut self, handle: SourceHandle) -> Option<(SourceId, &mut Entry)> {
        let place = *self.by_handle.get(index(handle))?;
        let (id, entry) = self.entries.at_mut(place as usize).filter(|(_, entry)| entry.handle == handle)?;
        if !entry.is(TOUCHED) {
            entry.flags |= TOUCHED;
            self.touched.push(id);
        }
        Some((id, entry))
    }

    pub(super) fn get(&self, id: SourceId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: SourceId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    /// What the tasks wait for has changed.
    pub(super) fn change(&mut self, id: SourceId, interest: Interest) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.interest = interest;
        if !entry.is(CHANGED) {
            entry.flags |= CHANGED;
            self.changed.push(id);
        }
        if !entry.is(TOUCHED) {
            entry.flags |= TOUCHED;
            self.touched.push(id);
        }
    }

    /// Says of each source that something happened to in this call what is there and waited for. Of which there is
    /// nothing, it is not looked at again until something else happens.
    pub(super) fn each_due(&mut self, mut say: impl FnMut(SourceId, Readiness)) {
        let Self { entries, touched, window, .. } = self;
        touched.retain(|id| {
            let Some(entry) = entries.get_mut(*id) else { return false };
            let due = entry.due(*window);
            if !due.is_empty() {
                say(*id, due);
                return true;
            }
            let has_unread = entry.start < entry.end;
            if !has_unread {
                entry.flags &= !TOUCHED;
            }
            has_unread
        });
    }

    /// Takes received bytes, as places in the input.
    pub(super) fn recv(&mut self, id: SourceId, limit: usize) -> Result<Range<usize>, IoError> {
        let entry = self.entries.get_mut(id).ok_or(IoError::Closed)?;
        let (start, end) = (entry.start as usize, entry.end as usize);
        if start < end {
            let end = end.min(start.saturating_add(limit));
            entry.start = u32::try_from(end).unwrap_or(entry.end);
            return Ok(start..end);
        }
        match entry.flags {
            flags if flags & FAILED != 0 => Err(IoError::Reset),
            flags if flags & ENDED != 0 => Ok(0..0),
            flags if flags & IDLE != 0 => {
                entry.flags &= !IDLE;
                Err(IoError::Stopping)
            }
            _ => Err(IoError::WouldBlock),
        }
    }

    /// How many bytes can be sent now, of `wanted`; and by which name.
    pub(super) fn send(&mut self, id: SourceId, wanted: usize) -> Result<(SourceHandle, u32), IoError> {
        let entry = self.entries.get_mut(id).ok_or(IoError::Closed)?;
        if entry.is(FAILED) {
            return Err(IoError::Reset);
        }
        let room = if entry.is(STUCK) { 0 } else { self.window.saturating_sub(entry.used) };
        let count = u32::try_from(wanted).map_or(room, |wanted| wanted.min(room));
        if count == 0 && wanted > 0 {
            return Err(IoError::WouldBlock);
        }
        entry.used += count;
        if !entry.is(SENT) {
            entry.flags |= SENT;
            self.sent.push(id);
        }
        Ok((entry.handle, count))
    }

    /// Ends a call: hands back what was not taken, and says what has changed.
    pub(super) fn finish(&mut self, mut say: impl FnMut(Command)) {
        let Self { entries, touched, window, .. } = self;
        touched.retain(|id| {
            let Some(entry) = entries.get_mut(*id) else { return false };
            if entry.start < entry.end {
                say(Command::Unread { source: entry.handle, len: entry.end - entry.start });
            }
            (entry.start, entry.end) = (0, 0);
            // What lasts is told again in the next call, to those who wait for it again.
            let is_due = !entry.due(*window).is_empty();
            if !is_due {
                entry.flags &= !TOUCHED;
            }
            is_due
        });
        for id in self.changed.drain(..) {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.flags &= !CHANGED;
            if entry.interest != entry.told {
                entry.told = entry.interest;
                say(Command::Watch { source: entry.handle, interest: entry.interest });
            }
        }
    }
}

/// The place in the driver's table.
fn index(handle: SourceHandle) -> usize {
    usize::try_from(handle.0 & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}
