//! An emulation by epoll of the kqueue calls that the backend makes, for tests on systems without kqueue. The backend
//! then runs as on macOS and the BSDs, as far as their manuals specify these calls.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::{Action, Event, Filter};

/// An emulated kqueue.
#[derive(Debug)]
pub(super) struct Queue {
    epoll: OwnedFd,
    known: Mutex<Known>,
}

/// The state of a queue.
#[derive(Debug, Default)]
struct Known {
    /// The filters of each descriptor.
    filters: HashMap<RawFd, Filters>,
    /// The edge-triggered events that exceeded the capacity of the last wait. Each event has a flag: true if it is
    /// reported once.
    left: Vec<(Event, bool)>,
}

#[derive(Clone, Copy, Debug)]
struct Filters {
    read: Action,
    write: Action,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, known: Mutex::default() })
    }

    /// Changes filters of a descriptor, one after another.
    pub(super) fn change(&self, source: BorrowedFd<'_>, changes: &[(Filter, Action)]) -> io::Result<()> {
        let mut known = self.known();
        let none = Filters { read: Action::Delete, write: Action::Delete };
        let mut filters = known.filters.get(&source.as_raw_fd()).copied().unwrap_or(none);
        for (filter, action) in changes {
            match filter {
                Filter::Read => filters.read = *action,
                Filter::Write => filters.write = *action,
            }
        }
        known.filters.remove(&source.as_raw_fd());
        match epoll::delete(&self.epoll, source) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = filters.flags();
        if !flags.is_empty() {
            let number = u64::try_from(source.as_raw_fd()).unwrap_or(u64::MAX);
            epoll::add(&self.epoll, source, epoll::EventData::new_u64(number), flags)?;
            known.filters.insert(source.as_raw_fd(), filters);
        }
        Ok(())
    }

    /// Waits for at most `timeout`.
    pub(super) fn wait(&self, buffer: &mut Buffer, timeout: Option<Duration>) -> io::Result<()> {
        let mut known = self.known();
        buffer.events.clear();
        buffer.events.append(&mut known.left);
        let timeout = if buffer.events.is_empty() { timeout } else { Some(Duration::ZERO) };
        let timeout = timeout.map(|span| Timespec::try_from(span).unwrap_or_default());
        let mut found: Vec<epoll::Event> = Vec::with_capacity(known.filters.len().max(1));
        drop(known);
        epoll::wait(&self.epoll, spare_capacity(&mut found), timeout.as_ref())?;
        known = self.known();
        let filters = found.iter().filter_map(|event| {
            let number = RawFd::try_from(event.data.u64()).ok()?;
            Some((event.flags, known.filters.get(&number)?))
        });
        buffer.events.extend(filters.flat_map(|(flags, filters)| filters.events(flags)));
        // Edge-triggered events go first. The next wait finds the others again.
        buffer.events.sort_by_key(|(_, is_once)| !is_once);
        let left = buffer.events.drain(buffer.room.min(buffer.events.len())..);
        known.left = left.filter(|(_, is_once)| *is_once).collect();
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filters {
    fn flags(self) -> epoll::EventFlags {
        use epoll::EventFlags as Flags;
        let mut flags = Flags::empty();
        for (action, own) in [(self.read, Flags::IN | Flags::RDHUP), (self.write, Flags::OUT)] {
            flags |= match action {
                Action::Level(_) => own,
                Action::Edge(_) => own | Flags::ET,
                Action::Delete => Flags::empty(),
            };
        }
        flags
    }

    /// Iterates over the events of a descriptor, one per filter. The flag is true if the event is reported once.
    fn events(self, flags: epoll::EventFlags) -> impl Iterator<Item = (Event, bool)> {
        use epoll::EventFlags as Flags;
        let is_broken = flags.intersects(Flags::ERR);
        let is_over = flags.intersects(Flags::HUP | Flags::ERR);
        let read = (Filter::Read, self.read, flags.intersects(Flags::IN), flags.intersects(Flags::RDHUP));
        let write = (Filter::Write, self.write, flags.intersects(Flags::OUT), false);
        [read, write].into_iter().filter_map(move |(filter, action, is_so, is_half)| {
            let is_over = is_over || is_half;
            let (key, is_once) = match action {
                Action::Level(key) => (key, false),
                Action::Edge(key) => (key, true),
                Action::Delete => return None,
            };
            (is_so || is_over).then_some((Event { key, filter, is_over, is_broken }, is_once))
        })
    }
}

/// The buffer for the events that a wait finds.
pub(super) struct Buffer {
    events: Vec<(Event, bool)>,
    room: usize,
}

impl Buffer {
    pub(super) const fn new(room: usize) -> Self {
        Self { events: Vec::new(), room }
    }

    pub(super) const fn room(&self) -> usize {
        self.room
    }

    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        self.events.iter().map(|(event, _)| *event)
    }
}
