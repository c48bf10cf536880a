//! A TCP socket that accepts connections.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;

use super::sources::Ready;

/// A listener.
pub(super) struct Listener {
    pub(super) family: IpAddressFamily,
    /// True until the guest has finished to listen.
    pub(super) is_starting: bool,
    /// True if it accepts no more connections, because the guest is to stop.
    pub(super) refuses: bool,
    /// The connections that arrived before the listener refused, which the guest has not accepted yet.
    waiting: VecDeque<OwnedFd>,
}

impl Listener {
    pub(super) const fn new(family: IpAddressFamily) -> Self {
        Self { family, is_starting: true, refuses: false, waiting: VecDeque::new() }
    }

    /// Returns true if `accept` would have a result. `has_room` states whether one more connection can be accepted.
    pub(super) fn is_ready(&self, ready: Ready, has_room: bool) -> bool {
        self.is_starting
            || (has_room && (!self.waiting.is_empty() || (!self.refuses && ready.has(Ready::INPUT))))
    }

    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// Fails with `EAGAIN` if there is none, and with the system's error.
    pub(super) fn accept(&mut self, socket: BorrowedFd<'_>, ready: &mut Ready) -> Result<OwnedFd, Errno> {
        if let Some(waiting) = self.waiting.pop_front() {
            return Ok(waiting);
        }
        if self.refuses || !ready.has(Ready::INPUT) {
            return Err(Errno::AGAIN);
        }
        let accepted = accept(socket);
        if matches!(accepted, Err(Errno::AGAIN)) {
            *ready = ready.without(Ready::INPUT);
        }
        accepted
    }

    /// Refuses connections from now on. The clients in the backlog have connected before, and are kept for the guest, as
    /// far as there is `room` for them. Returns their number.
    pub(super) fn refuse(&mut self, socket: BorrowedFd<'_>, room: usize) -> usize {
        self.refuses = true;
        while self.waiting.len() < room {
            match accept(socket) {
                Ok(connection) => self.waiting.push_back(connection),
                Err(Errno::CONNABORTED) => {}
                Err(_) => break,
            }
        }
        // Closing would free the address, and invalidate what the guest still may ask about it.
        shutdown(socket, Shutdown::Read).ok();
        self.waiting.len()
    }
}

fn accept(socket: impl AsFd) -> Result<OwnedFd, Errno> {
    loop {
        match accept_with(&socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Err(Errno::INTR) => {}
            // Linux passes on errors that are already pending on the new connection. Other systems report these when
            // the connection is used.
            Err(
                Errno::CONNRESET
                | Errno::NETRESET
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP,
            ) => return Err(Errno::CONNABORTED),
            accepted => return accepted,
        }
    }
}
