//! Registration with `polling`.
//!
//! `Poller::add` is unsafe because a source must leave the poller before its descriptor is closed. Here it
//! does: sockets live in [`Sockets`](crate::sockets::Sockets) alone, which shares the one poller that they are ever
//! registered with. Out of the table they come by its `remove` and by its end, and both take a socket's registration
//! away first. On epoll a descriptor that is closed leaves by itself in any case.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use polling::{Event, PollMode, Poller};
use sinbin_core::Interest;

use crate::sockets::Socket;

/// Where sources are registered: the poller of one reactor.
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

    /// Watches the socket for `interest`, where it was watched for `before`.
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
    // SAFETY: the table of sockets takes the registration away before it lets go of the socket (see above).
    unsafe {
        match socket {
            Socket::Listener(listener) => poller.add_with_mode(listener, event, PollMode::Level),
            Socket::Stream(stream) => poller.add_with_mode(stream, event, PollMode::Level),
        }
    }
}

fn modify(poller: &Poller, socket: &Socket, index: usize, interest: Interest) -> io::Result<()> {
    let event = event(index, interest);
    match socket {
        Socket::Listener(listener) => poller.modify_with_mode(listener, event, PollMode::Level),
        Socket::Stream(stream) => poller.modify_with_mode(stream, event, PollMode::Level),
    }
}

fn delete(poller: &Poller, socket: &Socket) -> io::Result<()> {
    match socket {
        Socket::Listener(listener) => poller.delete(listener),
        Socket::Stream(stream) => poller.delete(stream),
    }
}
