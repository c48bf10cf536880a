//! The host that the tasks of the loop use: sockets, jobs in slices, and the service.

use core::fmt;

use sinbin_core::exec::Jobs;
use sinbin_core::job::Slicer;
use sinbin_core::peers::{Peer, Peers};
use sinbin_core::serve::{Admission, Guarded, ServeTask, Unguarded};
use sinbin_core::{Host, Instant, Interest, IoError, Job, JobId, Limits, Serves, Service, SourceId};

use crate::connection::Connection;
use crate::now;
use crate::poller::Poller;
use crate::sockets::Sockets;
use crate::stdin::Stdin;

/// The counts of a loop since its start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    connections: u64,
    turned_away: u64,
    jobs: u64,
    received: u64,
    sent: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, turned_away, jobs, received, sent } = self;
        write!(f, "served {connections} connections, {jobs} jobs; {received} bytes in, {sent} bytes out")?;
        if *turned_away > 0 {
            write!(f, "; {turned_away} connections turned away")?;
        }
        Ok(())
    }
}

/// A closed connection with unread bytes, and its peer if the connections of a peer are limited.
pub type Unread = (Connection, Option<Peer>);

/// The host of a loop that runs the service `S` on WASI 0.2.
pub struct Portable<S: Service> {
    pub(crate) service: S,
    pub(crate) sockets: Sockets,
    pub(crate) slicer: Slicer<S::Job, Limits>,
    /// The budget of the slice of a job between two turns.
    pub(crate) slice: u32,
    pub(crate) counts: Tally,
    /// The admission of connections. Connections that linger or leave count as well.
    pub(crate) room: Admission<Unread>,
    pub(crate) peers: Peers,
    /// The closed connections for which the host still has bytes to send. Dropping one would block the whole guest
    /// until the peer has accepted these bytes.
    pub(crate) leaving: Vec<Connection>,
    pub(crate) poller: Poller,
    pub(crate) stdin: Option<Stdin>,
    /// True once stdin has ended, which is the request to stop.
    pub(crate) is_to_stop: bool,
}

/// A task of the loop.
pub type PortableTask<S> = ServeTask<S>;

impl<S: Service> Guarded for Portable<S> {
    type Guard = Unguarded;
}

impl<S: Service> Host for Portable<S> {
    type Storage = Limits;
    type Task = PortableTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        self.room.check(listener)?;
        let connection = match self.sockets.accept(listener) {
            Err(IoError::NoRoom) => return Err(self.room.crowd(listener)),
            accepted => accepted?,
        };
        if self.peers.are_limited()
            && let Some(address) = connection.peer()
        {
            if !self.peers.admit(address.ip()) {
                self.counts.turned_away += 1;
                return Err(IoError::Reset);
            }
            self.peers.enter(new, address.ip());
        }
        self.sockets.insert(new, connection, false);
        self.room.enter();
        self.counts.connections += 1;
        Ok(())
    }

    #[inline]
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let count = self.sockets.recv(source, buffer)?;
        self.counts.received += count as u64;
        Ok(count)
    }

    #[inline]
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let count = self.sockets.send(source, bytes)?;
        self.counts.sent += count as u64;
        Ok(count)
    }

    fn clock(&self, _: Instant) -> Instant {
        now()
    }

    fn close(&mut self, source: SourceId) {
        let Some((connection, unread)) = self.sockets.remove(source) else { return };
        let peer = self.peers.leave(source);
        let shut = connection.shutdown();
        // If a socket is closed with unread bytes, it sends a reset, and the peer may lose the last bytes sent to it.
        if unread && shut {
            self.room.linger((connection, peer));
        } else {
            self.leave(connection);
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> PortableTask<S> {
        ServeTask::connect(self, connection)
    }
}

impl<S: Service> Portable<S> {
    /// Drops a connection once dropping it does not block.
    pub(crate) fn leave(&mut self, mut connection: Connection) {
        if connection.is_sending() {
            connection.watch(Interest::SEND);
            self.leaving.push(connection);
        } else {
            self.room.leave(1);
        }
    }

    /// Drops the leaving connections whose bytes the host has sent.
    pub(crate) fn reap_closed(&mut self) {
        let before = self.leaving.len();
        self.leaving.retain(Connection::is_sending);
        self.room.leave(before - self.leaving.len());
    }
}

impl<S: Service> Jobs<S::Job> for Portable<S> {
    fn submit(&mut self, id: JobId, job: S::Job) {
        self.counts.jobs += 1;
        self.slicer.submit(id, job);
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as Job>::Output> {
        self.slicer.take(id)
    }

    fn cancel(&mut self, id: JobId) {
        self.slicer.cancel(id);
    }
}

impl<S: Service> Serves<S> for Portable<S> {
    #[inline]
    fn service(&self) -> &S {
        &self.service
    }
}
