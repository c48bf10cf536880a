//! The native loop as its tasks see it: sockets, jobs and the service.

use std::fmt::{self, Display as _};
use std::io;
use std::net::{SocketAddr, TcpStream};

use sinbin_core::exec::Jobs;
use sinbin_core::kernel::{Failure, IdMap};
use sinbin_core::peers::Peer;
use sinbin_core::serve::{Admission, Guarded, ServeTask};
use sinbin_core::task::{Label, NamedWait};
use sinbin_core::{
    Host, Instant, IoError, Job, JobId, Kernel, Serves, Service, SourceId, Step, Task, TaskId,
};

use crate::caught::{Catch, Caught, caught};
use crate::clock::Clock;
use crate::compute::Compute;
use crate::inbox::Inbox;
use crate::memory::{Decay, Memory};
use crate::names::Names;
use crate::observe::{Control, EventKind, Observer, SourceKind};
use crate::peer_limit::PeerLimit;
use crate::reactor::Reactor;
use crate::server::Stopper;
use crate::sockets::{Socket, Sockets, is_exhaustion, prepare_accepted};
use crate::task_spans::TaskSpans;
use crate::workers::Blocking;

/// The counters of a loop, over its whole life.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// The number of connections accepted.
    pub connections: u64,
    /// The number of connections that were reset at once because their peers were at the connection limit.
    pub turned_away: u64,
    /// The number of connections that ended because of a failure.
    pub failed: u64,
    /// The number of jobs submitted.
    pub jobs: u64,
    /// The number of jobs cancelled.
    pub cancelled: u64,
    /// The number of bytes received.
    pub received: u64,
    /// The number of bytes sent.
    pub sent: u64,
}

/// A closed connection that may still have unread input, and its peer if connections per peer are limited.
pub struct Unread {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<Peer>,
}

/// The host of a native loop that runs the service `S`.
pub struct Native<S: Service> {
    pub(crate) service: S,
    pub(crate) clock: Clock,
    pub(crate) sockets: Sockets,
    pub(crate) reactor: Reactor,
    pub(crate) compute: Compute<Caught<S::Job>>,
    pub(crate) blocking: Blocking,
    pub(crate) counts: Tally,
    pub(crate) room: Admission<Unread>,
    pub(crate) peer_limit: PeerLimit,
    /// True if listeners on IPv6 addresses also accept IPv4 connections.
    pub(crate) dual_stack: bool,
    pub(crate) names: Names,
    pub(crate) stopper: Stopper,
    /// The tasks that wait until the loop is to stop.
    pub(crate) stop_waiters: IdMap<TaskId, ()>,
    /// The wakes from outside of the loop, or `None` if the tasks cannot be woken from outside.
    pub(crate) inbox: Option<Inbox>,
    pub(crate) decay: Decay,
    pub(crate) observer: Observer,
    /// The spans of the tasks, or `None` if no subscriber asks for them.
    pub(crate) spans: Option<Box<TaskSpans>>,
    /// The commands of other processes, or `None` if the loop accepts none.
    pub(crate) control: Option<Control>,
}

/// A job that can be sent to a worker thread.
pub trait SendJob: Job<Output: Send> + Send + 'static {}

impl<J: Job<Output: Send> + Send + 'static> SendJob for J {}

/// A service that a native loop can run.
pub trait NativeService: Service<Conn: Task<Native<Self>>, Job: SendJob> + Sized {}

impl<S: Service<Conn: Task<Native<S>>, Job: SendJob>> NativeService for S {}

/// A task of a native loop.
pub type NativeTask<S> = ServeTask<S>;

impl<S: Service<Job: SendJob>> Guarded for Native<S> {
    type Guard = Catch;

    fn panicked(&mut self) {
        self.counts.failed += 1;
        self.observer.event(EventKind::Panicked, None, 0);
    }
}

impl<S: Service<Job: SendJob>> Host for Native<S> {
    type Storage = Memory;
    type Task = NativeTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        self.room.check(listener)?;
        let (stream, peer) =
            self.sockets.accept(listener).map_err(|error| self.not_accepted(listener, &error))?;
        if !self.peer_limit.admit(new, &stream, peer) {
            self.counts.turned_away += 1;
            self.observer.event(EventKind::TurnedAway, None, 0);
            return Err(IoError::Reset);
        }
        if let Err(error) = prepare_accepted(&stream, peer) {
            self.peer_limit.leave(new);
            tracing::debug!(peer = %named(peer), %error, "a connection was gone before it was served");
            return Err(IoError::Reset);
        }
        tracing::debug!(peer = %named(peer), source = %new, "connected");
        self.counts.connections += 1;
        self.room.enter();
        self.sockets.insert_accepted(listener, new, stream, peer);
        self.observer.source(new, SourceKind::Accepted, peer);
        self.observer.event(EventKind::Accepted, None, index(new.index()));
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

    fn close(&mut self, source: SourceId) {
        let Some(lingers) = self.sockets.close(source) else { return };
        tracing::debug!(%source, "closed");
        self.observer.event(EventKind::Closed, None, index(source.index()));
        let peer = self.peer_limit.leave(source);
        match lingers {
            Some(socket) => self.room.linger(Unread { socket, peer }),
            None => self.room.leave(1),
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> NativeTask<S> {
        ServeTask::connect(self, connection)
    }

    #[inline]
    fn clock(&self, _: Instant) -> Instant {
        self.clock.now()
    }

    #[inline]
    fn spawned(&mut self, task: TaskId, source: SourceId) {
        self.observer.serves(task, source);
    }

    #[inline]
    fn spawned_by(&mut self, parent: TaskId, task: TaskId) {
        self.observer.spawned_by(parent, task);
    }

    #[inline]
    fn stored(&mut self, task: TaskId, label: impl FnOnce() -> Option<Label>) {
        if self.observer.is_on() || self.spans.is_some() {
            let label = caught(label).ok().flatten();
            self.observer.named(task, label);
            if let Some(spans) = &mut self.spans {
                spans.begin::<S::Conn>(task, label);
            }
        }
    }

    fn waits_for(&mut self, task: TaskId, wait: Option<NamedWait>) {
        self.observer.waits_for(task, wait);
    }

    #[inline]
    fn before_step(&mut self, kernel: &Kernel<Memory>) {
        self.observer.step();
        if let Some(spans) = &self.spans {
            spans.enter(kernel);
        }
    }

    #[inline]
    fn after_step(&mut self, kernel: &Kernel<Memory>, _: &Step) {
        if let Some(spans) = &self.spans {
            spans.exit(kernel);
        }
    }

    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        let kind = if failure.is_some() { EventKind::Failed } else { EventKind::Ended };
        self.observer.event(kind, Some(task), 0);
        if let Some(spans) = &mut self.spans {
            spans.end(task);
        }
        if let Some(failure) = failure {
            self.counts.failed += 1;
            tracing::debug!(%task, %failure, "a connection failed");
        }
    }
}

impl<S: Service<Job: SendJob>> Native<S> {
    /// Stores a connection under `id`. The connection must already be nonblocking.
    pub(crate) fn adopt(&mut self, id: SourceId, stream: TcpStream) {
        self.counts.connections += 1;
        self.room.enter();
        self.sockets.insert(id, Socket::Stream(stream), false);
    }

    #[cold]
    fn not_accepted(&mut self, listener: SourceId, error: &io::Error) -> IoError {
        match error.kind() {
            io::ErrorKind::WouldBlock => IoError::WouldBlock,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => IoError::Reset,
            _ if is_exhaustion(error) => {
                if !self.room.is_crowded() {
                    let open = self.room.open();
                    tracing::warn!(%error, open, "accepting pauses; clients wait in the backlog");
                }
                self.room.crowd(listener)
            }
            _ => {
                tracing::warn!(%error, "accept failed");
                IoError::Os(error.raw_os_error().unwrap_or(0))
            }
        }
    }
}

impl<S: Service<Job: SendJob>> Jobs<S::Job> for Native<S> {
    fn submit(&mut self, id: JobId, job: S::Job) {
        self.counts.jobs += 1;
        self.observer.event(EventKind::Submitted, None, index(id.index()));
        self.compute.submit(id, Caught::new(job));
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as Job>::Output> {
        self.compute.take(id)?.into_inner()
    }

    fn cancel(&mut self, id: JobId) {
        self.counts.cancelled += 1;
        self.observer.event(EventKind::JobCancelled, None, index(id.index()));
        self.compute.cancel(id);
    }
}

/// Returns an index as the argument of an event.
pub(crate) fn index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl<S: Service<Job: SendJob>> Serves<S> for Native<S> {
    #[inline]
    fn service(&self) -> &S {
        &self.service
    }
}

/// Returns the address of a peer as text, for the log.
pub(crate) fn named(peer: Option<SocketAddr>) -> impl fmt::Display {
    fmt::from_fn(move |f| match peer {
        Some(peer) => peer.fmt(f),
        None => f.write_str("a Unix socket"),
    })
}

const _: () = assert!(
    size_of::<Option<NativeTask<sinbin_core::fib_service::Fib>>>()
        == size_of::<sinbin_core::fib_service::FibConn>(),
    "the wrapper does not enlarge a task"
);
