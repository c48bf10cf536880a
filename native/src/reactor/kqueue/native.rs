//! The system's calls of kqueue; on Linux, those of libkqueue.
//!
//! The unsafe code calls C functions. Their arguments are valid for the duration of the call: a borrowed descriptor, a
//! timeout, and arrays with their lengths. The system keeps none of them, and a closed descriptor leaves the queue
//! automatically. The pointer in an event is a number that the system returns unchanged, and is never dereferenced.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
use libc::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_EOF, EV_ERROR, EV_RECEIPT, EVFILT_READ, EVFILT_WRITE, kevent, kqueue,
    timespec,
};
use rustix::io::{Errno, FdFlags};

use super::{Action, Event, Filter};

#[cfg(target_os = "linux")]
use self::libkqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_EOF, EV_ERROR, EV_RECEIPT, EVFILT_READ, EVFILT_WRITE, kevent, kqueue,
    timespec,
};

/// The maximum number of changes per call.
const CHANGES: usize = 4;

/// A kqueue of the system.
#[derive(Debug)]
pub(super) struct Queue(OwnedFd);

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no arguments.
        let queue = unsafe { kqueue() };
        if queue < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and has no other owner.
        let queue = unsafe { OwnedFd::from_raw_fd(queue) };
        rustix::io::fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        Ok(Self(queue))
    }

    /// Changes filters of a descriptor, at most [`CHANGES`].
    pub(super) fn change(&self, source: BorrowedFd<'_>, changes: &[(Filter, Action)]) -> io::Result<()> {
        let mut list = [empty(); CHANGES];
        let count = changes.len().min(CHANGES);
        for (place, (filter, action)) in list.iter_mut().zip(changes) {
            *place = change(source, *filter, *action);
        }
        let mut receipts = list;
        let at_once = timespec { tv_sec: 0, tv_nsec: 0 };
        let (changes, room) = (&list[..count], &mut receipts[..count]);
        // SAFETY: see the module documentation. Both arrays have `count` elements.
        let told = unsafe {
            let count = i32::try_from(count).unwrap_or(0) as _;
            kevent(self.0.as_raw_fd(), changes.as_ptr(), count, room.as_mut_ptr(), count, &raw const at_once)
        };
        let told = usize::try_from(told).map_err(|_| io::Error::last_os_error())?;
        receipts.iter().take(told).try_for_each(judge)
    }

    /// Waits for at most `timeout`.
    pub(super) fn wait(&self, buffer: &mut Buffer, timeout: Option<Duration>) -> io::Result<()> {
        let Buffer(events) = buffer;
        events.clear();
        let timeout = timeout.map(|span| timespec {
            tv_sec: span.as_secs().try_into().unwrap_or(i32::MAX.into()),
            tv_nsec: i32::try_from(span.subsec_nanos()).unwrap_or(0).into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: see the module documentation. The buffer has capacity for `room` events.
        let found = unsafe {
            let room = i32::try_from(events.capacity()).unwrap_or(i32::MAX) as _;
            kevent(self.0.as_raw_fd(), ptr::null(), 0, events.as_mut_ptr(), room, timeout)
        };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the system has initialized the first `found` events.
        unsafe { events.set_len(found) };
        Ok(())
    }
}

/// The buffer for the events that a wait finds.
pub(super) struct Buffer(Vec<kevent>);

// SAFETY: the pointers in the events are only numbers.
unsafe impl Send for Buffer {}

impl Buffer {
    pub(super) fn new(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    pub(super) fn room(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        self.0.iter().map(|event| Event {
            key: event.udata as usize,
            filter: if event.filter == EVFILT_WRITE { Filter::Write } else { Filter::Read },
            is_over: event.flags & EV_EOF != 0,
            is_broken: event.flags & EV_EOF != 0 && event.fflags != 0,
        })
    }
}

fn empty() -> kevent {
    // SAFETY: the struct consists of numbers and a pointer, for all of which zero is a valid value.
    unsafe { mem::zeroed() }
}

fn change(source: BorrowedFd<'_>, filter: Filter, action: Action) -> kevent {
    let (flags, key) = match action {
        Action::Level(key) => (EV_ADD, key),
        Action::Edge(key) => (EV_ADD | EV_CLEAR, key),
        Action::Delete => (EV_DELETE, 0),
    };
    let mut change = empty();
    change.ident = source.as_raw_fd() as _;
    change.filter = match filter {
        Filter::Read => EVFILT_READ,
        Filter::Write => EVFILT_WRITE,
    };
    change.flags = flags | EV_RECEIPT;
    change.udata = key as _;
    change
}

/// Converts the receipt of a change into a result. It is not an error to delete a filter that does not exist. If the
/// peer has disconnected, this is no error yet; the next wait reports it.
fn judge(receipt: &kevent) -> io::Result<()> {
    let error = if receipt.flags & EV_ERROR == 0 { 0 } else { i32::try_from(receipt.data).unwrap_or(0) };
    let harmless = [0, Errno::NOENT.raw_os_error(), Errno::PIPE.raw_os_error()];
    if harmless.contains(&error) { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The declarations of libkqueue's `sys/event.h`.
#[cfg(target_os = "linux")]
#[allow(non_camel_case_types)]
mod libkqueue {
    use std::ffi::{c_int, c_long, c_short, c_uint, c_ushort, c_void};

    pub(super) const EVFILT_READ: c_short = -1;
    pub(super) const EVFILT_WRITE: c_short = -2;
    pub(super) const EV_ADD: c_ushort = 0x0001;
    pub(super) const EV_DELETE: c_ushort = 0x0002;
    pub(super) const EV_CLEAR: c_ushort = 0x0020;
    pub(super) const EV_RECEIPT: c_ushort = 0x0040;
    pub(super) const EV_ERROR: c_ushort = 0x4000;
    pub(super) const EV_EOF: c_ushort = 0x8000;

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub(super) struct kevent {
        pub(super) ident: usize,
        pub(super) filter: c_short,
        pub(super) flags: c_ushort,
        pub(super) fflags: c_uint,
        pub(super) data: isize,
        pub(super) udata: *mut c_void,
    }

    #[repr(C)]
    pub(super) struct timespec {
        pub(super) tv_sec: c_long,
        pub(super) tv_nsec: c_long,
    }

    #[link(name = "kqueue")]
    unsafe extern "C" {
        pub(super) fn kqueue() -> c_int;
        pub(super) fn kevent(
            queue: c_int,
            changes: *const kevent,
            change_count: c_int,
            events: *mut kevent,
            event_count: c_int,
            timeout: *const timespec,
        ) -> c_int;
    }
}
