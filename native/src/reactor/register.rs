//! Registration with `polling`.
//!
//! `Poller::add` is unsafe because a source must be removed from the poller before its descriptor is closed. This is
//! guaranteed here. [`Sockets`](crate::sockets::Sockets) owns the sockets, or a reference that keeps them open, and
//! shares the one poller with which they are ever registered. Sockets leave that table only through its `remove`, its
//! `insert` or its destructor, and each of these deletes the registration of the socket first. The descriptor of a
//! socket never changes. Moreover, epoll removes a closed descriptor automatically.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use polling::{Event, PollMode, Poller};
use sinbin_core::Interest;

use crate::sockets::Socket;

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
