//! What tasks see of the native loop: sockets, jobs, and the service they belong to.

use std::any::Any;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use sinbin_core::task::Label;
use sinbin_core::{
    Acceptor, Cx, Failure, Host, Instant, IoError, Job, JobId, Jobs, Linger, Serves, Service, SourceId, Step,
    Task, TaskId,
};

use crate::clock::Clock;
use crate::compute::Compute;
use crate::memory::Memory;
use crate::reactor::Reactor;
use crate::sockets::{Socket, Sockets, is_exhaustion, prepare};

/// Counts of a loop's life.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Connections that were taken.
    pub connections: u64,
    /// Connections that ended because something failed.
    pub failed: u64,
    /// Jobs that were handed over.
    pub jobs: u64,
    /// Jobs that nobody wanted any more before they were done.
    pub cancelled: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// The host of a native loop that runs the service `S`.
pub struct Native<S: Service> {
    pub(crate) service: S,
    pub(crate) clock: Clock,
    pub(crate) sockets: Sockets,
    pub(crate) reactor: Reactor,
    pub(crate) compute: Compute<S::Job>,
    pub(crate) counts: Counts,
    /// Connections there are, those that linger among them.
    pub(crate) open: usize,
    pub(crate) max_connections: usize,
    /// An acceptor found no room since it was last woken.
    pub(crate) crowded: bool,
    /// A connection has gone since then.
    pub(crate) relieved: bool,
    /// Connections that are closed but may still have something underway to us.
    pub(crate) to_linger: Vec<TcpStream>,
}

/// A job that can go to a worker thread.
pub trait SendJob: Job<Output: Send> + Send + 'static {}

impl<J: Job<Output: Send> + Send + 'static> SendJob for J {}

/// A service that a native loop can run.
pub trait NativeService: Service<Conn: Task<Native<Self>>, Job: SendJob> + Sized {}

impl<S: Service<Conn: Task<Native<S>>, Job: SendJob>> NativeService for S {}

/// A task of a native loop.
pub enum NativeTask<S: Service> {
    /// Takes connections.
    Accept(Acceptor),
    /// Serves one.
    Serve(S::Conn),
    /// Waits for the peer to take the last answer.
    #[doc(hidden)]
    Linger(Linger),
}

impl<S: NativeService> Task<Native<S>> for NativeTask<S> {
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Native<S>>) -> Step {
        match self.get_mut() {
            Self::Serve(task) => {
                let step = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *task).resume(cx)));
                step.unwrap_or_else(|panic| panicked(task, cx, &*panic))
            }
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

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Native<S>>) {
        match self.get_mut() {
            Self::Serve(task) => Pin::new(task).end(cx),
            Self::Accept(task) => Task::<Native<S>>::end(Pin::new(task), cx),
            Self::Linger(task) => Task::<Native<S>>::end(Pin::new(task), cx),
        }
    }
}

/// Takes down the task that panicked, alone.
#[cold]
fn panicked<S: NativeService>(task: &mut S::Conn, cx: &mut Cx<'_, Native<S>>, panic: &dyn Any) -> Step {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
    match task.label() {
        Some(label) => tracing::error!(task = %cx.id(), "{label}: panicked: {text}"),
        None => tracing::error!(task = %cx.id(), "a connection's task panicked: {text}"),
    }
    cx.host.counts.failed += 1;
    Pin::new(task).panicked(cx);
    Step::Done
}

impl<S: Service<Job: SendJob>> Host for Native<S> {
    type Storage = Memory;
    type Task = NativeTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        if self.open >= self.max_connections {
            self.crowded = true;
            return Err(IoError::NoRoom);
        }
        let (stream, peer) = self.sockets.accept(listener).map_err(|error| self.not_accepted(&error))?;
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%peer, %error, "a connection was gone before it was served");
            return Err(IoError::Reset);
        }
        tracing::debug!(%peer, source = %new, "connected");
        self.adopt(new, stream);
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
        let Some((Socket::Stream(stream), unread)) = self.sockets.remove(source) else {
            return;
        };
        tracing::debug!(%source, "closed");
        self.open -= 1;
        self.relieved = true;
        // Were a socket closed with something unread, the peer might lose what was sent to it last.
        if unread && stream.shutdown(Shutdown::Write).is_ok() {
            self.to_linger.push(stream);
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> NativeTask<S> {
        NativeTask::Serve(self.service.connect(connection))
    }

    #[inline]
    fn clock(&self, _: Instant) -> Instant {
        self.clock.now()
    }

    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        if let Some(failure) = failure {
            self.counts.failed += 1;
            tracing::debug!(%task, %failure, "a connection failed");
        }
    }
}

impl<S: Service<Job: SendJob>> Native<S> {
    /// Keeps a connection under `id`. It is nonblocking already.
    pub(crate) fn adopt(&mut self, id: SourceId, stream: TcpStream) {
        self.counts.connections += 1;
        self.open += 1;
        self.sockets.insert(id, Socket::Stream(stream), false);
    }

    #[cold]
    fn not_accepted(&mut self, error: &io::Error) -> IoError {
        match error.kind() {
            io::ErrorKind::WouldBlock => IoError::WouldBlock,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => IoError::Reset,
            _ if is_exhaustion(error) => {
                if !self.crowded {
                    tracing::warn!(%error, open = self.open, "accepting pauses; clients wait in the backlog");
                }
                self.crowded = true;
                IoError::NoRoom
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
        self.compute.submit(id, job);
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as Job>::Output> {
        self.compute.take(id)
    }

    fn cancel(&mut self, id: JobId) {
        self.counts.cancelled += 1;
        self.compute.cancel(id);
    }
}

impl<S: Service<Job: SendJob>> Serves<S> for Native<S> {
    #[inline]
    fn service(&self) -> &S {
        &self.service
    }
}
