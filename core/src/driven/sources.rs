//! The state of each source: its two names, the bytes to receive, and the bytes that may be sent.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::Range;

use crate::driven::{Command, SourceHandle};
use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::kernel::id_map::IdMap;
use crate::kernel::interest::{Interest, Readiness};
use crate::kernel::slab::NONE;

/// The number of bytes of a peer's address.
pub(super) const ADDRESS: usize = 18;

/// The maximum number of handle indexes, however many tasks the limits allow.
const MOST: usize = 1 << 24;

/// Flags of lasting conditions.
const ENDED: u8 = 1;
const FAILED: u8 = 2;
const HUNG_UP: u8 = 4;
const STUCK: u8 = 8;
/// The service is to stop, and no bytes are available. This is the only condition that a read clears.
const IDLE: u8 = 16;
/// The source is on the list of sources with an event in this call.
const TOUCHED: u8 = 32;
/// The source is on the list of sources whose interest differs from the one that the driver knows.
const CHANGED: u8 = 64;
/// The source is on the list of sources that have sent.
const SENT: u8 = 128;

/// A source. Between calls it has no bytes, because received bytes are in the input of the call.
pub(super) struct Entry {
    pub(super) handle: SourceHandle,
    /// The range of the input that was received and not taken.
    start: u32,
    end: u32,
    /// The number of connections that wait to be accepted, for a listener.
    arrivals: u32,
    /// The number of bytes sent since the driver was last called.
    used: u32,
    interest: Interest,
    /// The interest that the driver knows.
    told: Interest,
    flags: u8,
    peer: Option<[u8; ADDRESS]>,
}

impl Entry {
    fn is(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Records received bytes. Returns false if unread bytes exist: a call has one range of bytes per source.
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

    /// Records a connection that waits to be accepted.
    pub(super) fn arrived(&mut self) {
        self.arrivals += 1;
    }

    /// Records that a connection was accepted.
    pub(super) fn taken(&mut self) {
        self.arrivals = self.arrivals.saturating_sub(1);
    }

    /// Returns the address of the peer, if it is known.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let (ip, port) = self.peer.as_ref()?.split_first_chunk::<16>()?;
        let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
        Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
    }

    /// Returns the conditions that hold and are waited for.
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

/// All sources, by both of their names, and the lists of sources that need processing.
#[derive(Default)]
pub(super) struct Sources {
    entries: IdMap<SourceId, Entry>,
    /// The indexes of the entries, by the index of the handle.
    by_handle: Vec<u32>,
    /// The upper bound of a handle's index.
    limit: usize,
    window: u32,
    touched: Vec<SourceId>,
    changed: Vec<SourceId>,
    sent: Vec<SourceId>,
}

impl Sources {
    /// Creates a table for `tasks` tasks. A driver may have more sources than tasks, while sources are opened or
    /// closed. The driver promises that its handles are dense, which bounds the table.
    pub(super) fn new(tasks: usize) -> Self {
        Self { limit: tasks.saturating_mul(4).saturating_add(1024).min(MOST), ..Self::default() }
    }

    /// Begins a call. The bytes sent in the last call have left the driver, unless it reports otherwise.
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

    /// Returns true if a source can be added under the handle.
    pub(super) fn is_free(&self, handle: SourceHandle) -> bool {
        index(handle) < self.limit && !self.is_taken(handle)
    }

    /// Returns true if a source exists at the index of the handle.
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

    /// Removes a source, and returns its handle.
    pub(super) fn remove(&mut self, id: SourceId) -> Option<SourceHandle> {
        let Entry { handle, .. } = self.entries.remove(id)?;
        self.by_handle[index(handle)] = NONE;
        Some(handle)
    }

    /// Returns the source of the handle, and marks it to be checked again in this call.
    pub(super) fn touch(&mut self, handle: SourceHandle) -> Option<&mut Entry> {
        self.touch_and_name(handle).map(|(_, entry)| entry)
    }

    /// Touches a source as [`touch`](Self::touch) does, and returns its id too.
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

    /// Records that the interest of the tasks has changed. Returns false if there is no such source.
    pub(super) fn change(&mut self, id: SourceId, interest: Interest) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        entry.interest = interest;
        if !entry.is(CHANGED) {
            entry.flags |= CHANGED;
            self.changed.push(id);
        }
        if !entry.is(TOUCHED) {
            entry.flags |= TOUCHED;
            self.touched.push(id);
        }
        true
    }

    /// Calls `say` for each source with an event in this call, with the conditions that hold and are waited for. A
    /// source without such conditions, and without unread bytes, is not checked again until its next event.
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

    /// Takes received bytes, as a range of the input.
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

    /// Reserves up to `wanted` bytes to send now, and returns their number with the handle of the source.
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

    /// Ends a call: returns the bytes that were not taken, and reports changed interests.
    pub(super) fn finish(&mut self, mut say: impl FnMut(Command)) {
        let Self { entries, touched, window, .. } = self;
        touched.retain(|id| {
            let Some(entry) = entries.get_mut(*id) else { return false };
            if entry.start < entry.end {
                say(Command::Unread { source: entry.handle, len: entry.end - entry.start });
            }
            (entry.start, entry.end) = (0, 0);
            // A lasting condition is reported again in the next call, if a task waits for it again.
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

/// Returns the index in the driver's table.
fn index(handle: SourceHandle) -> usize {
    usize::try_from(handle.0 & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}
