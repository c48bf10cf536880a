//! A TCP socket that accepts connections.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;

use super::sources::Ready;

/// The lack of descriptors or memory for connections.
#[derive(Default)]
pub(super) struct Crowding {
    /// The error of the last accept. No listener accepts until this is cleared.
    pub(super) exhausted: Option<Errno>,
    /// True if the lack was logged, and no accept has succeeded since.
    pub(super) is_known: bool,
}

/// A listener.
pub(super) struct Listener {
    pub(super) family: IpAddressFamily,
    /// True until the guest has finished to listen.
    pub(super) is_starting: bool,
    /// True if it accepts no more connections, because the guest is to stop.
    pub(super) refuses: bool,
    /// The connections that the guest has not accepted yet: one that has shown that there are any, and those that arrived
    /// before the listener refused.
    waiting: VecDeque<OwnedFd>,
    /// The error that the next accept returns.
    failed: Option<Errno>,
}

impl Listener {
    pub(super) const fn new(family: IpAddressFamily) -> Self {
        Self { family, is_starting: true, refuses: false, waiting: VecDeque::new(), failed: None }
    }

    /// Returns true if `accept` has a result. `has_room` states whether one more connection can be accepted.
    pub(super) fn is_ready(&self, has_room: bool) -> bool {
        self.is_starting || (has_room && (!self.waiting.is_empty() || self.failed.is_some()))
    }

    /// Returns true if there is no connection that has arrived already.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Accepts a connection, if there is one, so that it is known whether there is any. Many guests rely on an accept that
    /// succeeds after its pollable was ready, and the system reports several connections as one change.
    pub(super) fn prepare(&mut self, socket: BorrowedFd<'_>, ready: &mut Ready, crowding: &mut Crowding) {
        if self.refuses || !ready.has(Ready::INPUT) || !self.waiting.is_empty() || self.failed.is_some() {
            return;
        }
        match accept(socket) {
            Ok(connection) => {
                *crowding = Crowding::default();
                self.waiting.push_back(connection);
            }
            // The guest can do nothing about this, and most guests would end, or try again without a pause.
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                crowding.exhausted = Some(error);
            }
            Err(Errno::AGAIN) => *ready = ready.without(Ready::INPUT),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Returns the connection or the error that [`prepare`](Self::prepare) has found.
    ///
    /// # Errors
    ///
    /// Fails with `EAGAIN` if there is no connection, and with the system's error.
    pub(super) fn accept(&mut self) -> Result<OwnedFd, Errno> {
        match (self.waiting.pop_front(), self.failed.take()) {
            (Some(connection), _) => Ok(connection),
            (None, error) => Err(error.unwrap_or(Errno::AGAIN)),
        }
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
