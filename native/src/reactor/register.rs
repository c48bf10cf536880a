//! Registration with `polling`: the one place with `unsafe` in this crate.
//!
//! `Poller::add` is unsafe because a source must leave the poller before its descriptor is closed. Here it
//! does: sockets live in [`Sockets`](crate::sockets::Sockets) alone, whose `remove` is the only way out of
//! the table, and takes a socket's registration away before it hands the socket on; and the table does not
//! outlive the reactor of its loop. On epoll a descriptor that is closed leaves by itself in any case.
#![allow(unsafe_code)]

use std::io;

use polling::{Event, PollMode, Poller};
use sinbin_core::Interest;

use crate::sockets::Socket;

fn event(index: usize, interest: Interest) -> Event {
    let (readable, writable) = (interest.contains(Interest::RECV), interest.contains(Interest::SEND));
    Event::new(index, readable, writable)
}

pub(super) fn add(poller: &Poller, socket: &Socket, index: usize, interest: Interest) -> io::Result<()> {
    let event = event(index, interest);
    // SAFETY: the table of sockets takes the registration away before it lets go of the socket (see above).
    unsafe {
        match socket {
            Socket::Listener(listener) => poller.add_with_mode(listener, event, PollMode::Level),
            Socket::Stream(stream) => poller.add_with_mode(stream, event, PollMode::Level),
        }
    }
}

pub(super) fn modify(poller: &Poller, socket: &Socket, index: usize, interest: Interest) -> io::Result<()> {
    let event = event(index, interest);
    match socket {
        Socket::Listener(listener) => poller.modify_with_mode(listener, event, PollMode::Level),
        Socket::Stream(stream) => poller.modify_with_mode(stream, event, PollMode::Level),
    }
}

pub(super) fn delete(poller: &Poller, socket: &Socket) -> io::Result<()> {
    match socket {
        Socket::Listener(listener) => poller.delete(listener),
        Socket::Stream(stream) => poller.delete(stream),
    }
}
