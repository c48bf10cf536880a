//! What tasks see of the loop: sockets, jobs in slices, and the service they belong to.

use core::fmt;
use core::pin::Pin;

use sinbin_core::peers::{Peer, Peers};
use sinbin_core::task::Label;
use sinbin_core::{
    Acceptor, Cx, Host, Instant, Interest, IoError, Job, JobId, Jobs, Limits, Linger, Serves, Service,
    Slicer, SourceId, Step, Task, TaskId,
};

use crate::connection::Connection;
use crate::now;
use crate::sockets::Sockets;

/// Counts of a loop's life.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    connections: u64,
    turned_away: u64,
    jobs: u64,
    received: u64,
    sent: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, turned_away, jobs, received, sent } = self;
        write!(f, "served {connections} connections, {jobs} jobs; {received} bytes in, {sent} bytes out")?;
        if *turned_away > 0 {
            write!(f, "; {turned_away} connections turned away")?;
        }
        Ok(())
    }
}

/// The host of a loop that runs the service `S` on WASI 0.2.
pub struct Portable<S: Service> {
    pub(crate) service: S,
    pub(crate) sockets: Sockets,
    pub(crate) slicer: Slicer<S::Job, Limits>,
    pub(crate) counts: Counts,
    /// Connections there are, those that linger or leave among them.
    pub(crate) open: usize,
    pub(crate) max_connections: usize,
    pub(crate) peers: Peers,
    /// An acceptor found no room since it was last woken.
    pub(crate) crowded: bool,
    /// A connection has gone since then.
    pub(crate) relieved: bool,
    /// Connections that are closed but may still have something underway to us, and whose they are, if that counts.
    pub(crate) to_linger: Vec<(Connection, Option<Peer>)>,
    /// Connections that are closed, of which the host has not sent all that it took. To drop one now would block the
    /// whole guest until the peer has read that.
    pub(crate) leaving: Vec<Connection>,
}

/// A task of the loop.
pub enum PortableTask<S: Service> {
    /// Takes connections.
    Accept(Acceptor),
    /// Serves one.
    Serve(S::Conn),
    /// Waits for the peer to take the last answer.
    #[doc(hidden)]
    Linger(Linger),
}

impl<S: Service<Conn: Task<Portable<S>>>> Task<Portable<S>> for PortableTask<S> {
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Portable<S>>) -> Step {
        match self.get_mut() {
            Self::Serve(task) => Pin::new(task).resume(cx),
            Self::Accept(task) => Pin::new(task).resume(cx),
            Self::Linger(task) => Pin::new(task).resume(cx),
        }
    }

    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        if let Self::Serve(task) = self.get_mut() {
            Pin::new(task).spawned(id);
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Serve(task) => task.label(),
            Self::Accept(_) | Self::Linger(_) => None,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Portable<S>>) {
        match self.get_mut() {
            Self::Serve(task) => Pin::new(task).end(cx),
            Self::Accept(task) => Task::<Portable<S>>::end(Pin::new(task), cx),
            Self::Linger(task) => Task::<Portable<S>>::end(Pin::new(task), cx),
        }
    }
}

impl<S: Service> Host for Portable<S> {
    type Storage = Limits;
    type Task = PortableTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        let accepted = if self.open >= self.max_connections {
            Err(IoError::NoRoom)
        } else {
            self.sockets.accept(listener)
        };
        self.crowded |= matches!(accepted, Err(IoError::NoRoom));
        let connection = accepted?;
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
        self.open += 1;
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
        // Were a socket closed with something unread, the peer might lose what was sent to it last.
        if unread && shut {
            self.to_linger.push((connection, peer));
        } else {
            self.leave(connection);
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> PortableTask<S> {
        PortableTask::Serve(self.service.connect(connection))
    }
}

impl<S: Service> Portable<S> {
    /// Drops a connection, as soon as that takes no time.
    pub(crate) fn leave(&mut self, mut connection: Connection) {
        if connection.is_sending() {
            connection.watch(Interest::SEND);
            self.leaving.push(connection);
        } else {
            self.open -= 1;
            self.relieved = true;
        }
    }

    /// Drops those that have left.
    pub(crate) fn see_off(&mut self) {
        let before = self.leaving.len();
        self.leaving.retain(Connection::is_sending);
        let left = before - self.leaving.len();
        self.open -= left;
        self.relieved |= left > 0;
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
