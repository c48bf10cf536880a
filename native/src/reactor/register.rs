//! Registration with `polling`, and the unsafe code that goes with it.
//!
//! `Poller::add` is unsafe because a source must be removed from the poller before its descriptor is closed. This is
//! guaranteed here. [`Sockets`](crate::sockets::Sockets) owns the sockets, or a reference that keeps them open, and
//! shares the one poller with which they are ever registered. Sockets leave that table only through its `remove`, its
//! `insert` or its destructor, and each of these deletes the registration of the socket first. The descriptor of a
//! socket never changes. Moreover, epoll removes a closed descriptor automatically.
//! A [`Watcher`](crate::readiness::Watcher) does not own its descriptors, and uses only safe calls.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use polling::{Event, PollMode, Poller};
use sinbin_core::Interest;

use crate::sockets::Socket;

// SAFETY: the only part that is not `Send` is the buffer of events. Their data are a union of a number and a pointer, of
// which this crate writes and reads the number only.
#[cfg(all(target_os = "linux", any(test, not(any(sinbin_kqueue, sinbin_portable)))))]
unsafe impl<C: Send> Send for super::epoll::Backend<C> {}

/// The poller of one reactor, with which sources are registered.
#[derive(Clone, Debug)]
pub(crate) struct Registry(Arc<Poller>);

impl Registry {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Poller::new()?)))
    }

    #[inline]
    pub(super) fn poller(&self) -> &Poller {
        &self.0
    }

    /// Changes the interest for which the socket is watched from `before` to `interest`.
    pub(crate) fn change(
        &self,
        socket: &Socket,
        index: usize,
        before: Interest,
        interest: Interest,
    ) -> io::Result<()> {
        match (before.is_empty(), interest.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => add(&self.0, socket, index, interest),
            (false, false) => modify(&self.0, socket, index, interest),
            (false, true) => delete(&self.0, socket),
        }
    }
}

#[cfg(target_os = "linux")]
impl Registry {
    /// Reports each change of the descriptor's readiness once, in both directions, until it is closed.
    pub(crate) fn watch_changes(
        &self,
        descriptor: rustix::fd::BorrowedFd<'_>,
        index: usize,
    ) -> io::Result<()> {
        use rustix::event::epoll::{self, EventData, EventFlags as Flags};

        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
        Ok(epoll::add(&*self.0, descriptor, EventData::new_u64(index as u64), flags)?)
    }

    /// Stops reporting a descriptor that is about to be closed. epoll forgets closed descriptors by itself.
    #[allow(clippy::unused_self)]
    pub(crate) fn forget(&self, _: rustix::fd::BorrowedFd<'_>) {}
}

#[cfg(all(unix, not(target_os = "linux")))]
impl Registry {
    /// Fails: a descriptor that the reactor does not own cannot be registered safely with this backend.
    pub(crate) fn watch_changes(&self, _: rustix::fd::BorrowedFd<'_>, _: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Does nothing, since no descriptor is watched.
    pub(crate) fn forget(&self, _: rustix::fd::BorrowedFd<'_>) {}
}

fn event(index: usize, interest: Interest) -> Event {
    let (readable, writable) = (interest.contains(Interest::RECV), interest.contains(Interest::SEND));
    Event::new(index, readable, writable)
}

fn add(poller: &Poller, socket: &Socket, index: usize, interest: Interest) -> io::Result<()> {
    let event = event(index, interest);
    // SAFETY: the table of sockets deletes the registration before it releases the socket (see the module
    // documentation).
    unsafe { poller.add_with_mode(&socket.descriptor(), event, PollMode::Level) }
}

fn modify(poller: &Poller, socket: &Socket, index: usize, interest: Interest) -> io::Result<()> {
    let event = event(index, interest);
    poller.modify_with_mode(socket.descriptor(), event, PollMode::Level)
}

fn delete(poller: &Poller, socket: &Socket) -> io::Result<()> {
    poller.delete(socket.descriptor())
}
