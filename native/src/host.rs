//! What tasks see of the native loop: sockets, jobs, and the service they belong to.

use std::any::type_name;
use std::fmt::Display;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;

use sinbin_core::peers::Peer;
use sinbin_core::task::Label;
use sinbin_core::{
    Acceptor, Cx, Failure, Host, Instant, IoError, Job, JobId, Jobs, Linger, Serves, Service, SourceId, Step,
    Task, TaskId,
};

use crate::caught::{Caught, Panicked, caught};
use crate::clock::Clock;
use crate::compute::Compute;
use crate::gate::Gate;
use crate::memory::Memory;
use crate::reactor::Reactor;
use crate::sockets::{Socket, Sockets, is_exhaustion, prepare};

/// Counts of a loop's life.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Connections that were taken.
    pub connections: u64,
    /// Connections that were reset at once, since their peers had as many as one may have.
    pub turned_away: u64,
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
    pub(crate) compute: Compute<Caught<S::Job>>,
    pub(crate) counts: Counts,
    /// Connections there are, those that linger among them.
    pub(crate) open: usize,
    pub(crate) max_connections: usize,
    pub(crate) gate: Gate,
    /// Listeners on IPv6 addresses take IPv4 connections too.
    pub(crate) dual_stack: bool,
    /// An acceptor found no room since it was last woken.
    pub(crate) crowded: bool,
    /// A connection has gone since then.
    pub(crate) relieved: bool,
    /// Connections that are closed but may still have something underway to us, and whose they are, if that counts.
    pub(crate) to_linger: Vec<(TcpStream, Option<Peer>)>,
}

/// A job that can go to a worker thread.
pub trait SendJob: Job<Output: Send> + Send + 'static {}

impl<J: Job<Output: Send> + Send + 'static> SendJob for J {}

/// A service that a native loop can run.
pub trait NativeService: Service<Conn: Task<Native<Self>>, Job: SendJob> + Sized {}

impl<S: Service<Conn: Task<Native<S>>, Job: SendJob>> NativeService for S {}

/// A task of a native loop.
pub struct NativeTask<S: Service>(Kind<S>);

enum Kind<S: Service> {
    /// Takes connections.
    Accept(Acceptor),
    /// Serves one.
    Serve(Caught<S::Conn>),
    /// Ends a task that has panicked before its first step. Boxed, since it is rare and should take no room in the
    /// others.
    Lost(Box<Caught<S::Conn>>),
    /// Closes a connection for which the service made no task.
    Unserved(SourceId),
    /// Waits for the peer to take the last answer.
    Linger(Linger),
}

impl<S: NativeService> NativeTask<S> {
    pub(crate) fn accept(acceptor: Acceptor) -> Self {
        Self(Kind::Accept(acceptor))
    }

    pub(crate) fn linger(linger: Linger) -> Self {
        Self(Kind::Linger(linger))
    }
}

impl<S: Service> NativeTask<S> {
    pub(crate) fn serve(conn: S::Conn) -> Self {
        Self(Kind::Serve(Caught::new(conn)))
    }
}

/// Returns the task's name, for a report. The name is asked for where something has panicked, so that may panic too.
fn name<S: NativeService>(conn: &S::Conn) -> String {
    match caught(|| conn.label().map(|label| label.to_string())) {
        Ok(Some(label)) => label,
        Ok(None) | Err(_) => format!("a connection's task ({})", type_name::<S::Conn>()),
    }
}

impl<S: NativeService> Task<Native<S>> for NativeTask<S> {
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Native<S>>) -> Step {
        match &mut self.get_mut().0 {
            Kind::Serve(conn) => {
                let Some(task) = conn.get_mut() else { return Step::Done };
                match caught(|| Pin::new(&mut *task).resume(cx)) {
                    Ok(step) => step,
                    Err(said) => panicked(task, cx, &said),
                }
            }
            Kind::Accept(task) => Pin::new(task).resume(cx),
            Kind::Linger(task) => Pin::new(task).resume(cx),
            Kind::Unserved(source) => {
                cx.close(*source);
                Step::Done
            }
            Kind::Lost(conn) => {
                if let Some(task) = conn.get_mut() {
                    end_panicked(task, cx);
                }
                Step::Done
            }
        }
    }

    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        let kind = &mut self.get_mut().0;
        let Kind::Serve(conn) = kind else { return };
        let Some(task) = conn.get_mut() else { return };
        if let Err(said) = caught(|| Pin::new(&mut *task).spawned(id)) {
            report(id, &name::<S>(task), "panicked as it was spawned", &said);
            *kind = Kind::Lost(Box::new(std::mem::replace(conn, Caught::none())));
        }
    }

    fn label(&self) -> Option<Label> {
        match &self.0 {
            Kind::Serve(conn) => caught(|| conn.get()?.label()).ok().flatten(),
            Kind::Lost(conn) => caught(|| conn.get()?.label()).ok().flatten(),
            Kind::Accept(_) | Kind::Linger(_) | Kind::Unserved(_) => None,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Native<S>>) {
        match &mut self.get_mut().0 {
            Kind::Serve(conn) => end_served(conn, cx),
            Kind::Lost(conn) => end_served(conn, cx),
            Kind::Accept(task) => Task::<Native<S>>::end(Pin::new(task), cx),
            Kind::Linger(task) => Task::<Native<S>>::end(Pin::new(task), cx),
            Kind::Unserved(_) => {}
        }
    }
}

/// Ends the task, and drops it.
fn end_served<S: NativeService>(conn: &mut Caught<S::Conn>, cx: &mut Cx<'_, Native<S>>) {
    let Some(task) = conn.get_mut() else { return };
    if let Err(said) = caught(|| Pin::new(&mut *task).end(cx)) {
        report(cx.id(), &name::<S>(task), "panicked at its end", &said);
    }
    if let Err(said) = conn.end() {
        report(cx.id(), type_name::<S::Conn>(), "panicked when it was dropped", &said);
    }
}

/// Takes down the task that panicked, alone.
#[cold]
fn panicked<S: NativeService>(task: &mut S::Conn, cx: &mut Cx<'_, Native<S>>, said: &Panicked) -> Step {
    report(cx.id(), &name::<S>(task), "panicked", said);
    end_panicked(task, cx);
    Step::Done
}

fn end_panicked<S: NativeService>(task: &mut S::Conn, cx: &mut Cx<'_, Native<S>>) {
    cx.host.counts.failed += 1;
    if let Err(said) = caught(|| Pin::new(&mut *task).panicked(cx)) {
        report(cx.id(), &name::<S>(task), "panicked again when it was told", &said);
    }
}

#[cold]
fn report(task: TaskId, name: &str, what: &str, said: &dyn Display) {
    tracing::error!(%task, "{name}: {what}: {said}");
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
        if !self.gate.admit(new, &stream, peer) {
            self.counts.turned_away += 1;
            return Err(IoError::Reset);
        }
        if let Err(error) = prepare(&stream) {
            self.gate.leave(new);
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
        let peer = self.gate.leave(source);
        self.open -= 1;
        self.relieved = true;
        // Were a socket closed with something unread, the peer might lose what was sent to it last.
        if unread && stream.shutdown(Shutdown::Write).is_ok() {
            self.to_linger.push((stream, peer));
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> NativeTask<S> {
        self.make_task(connection)
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
    /// Makes the task that serves a connection; one that closes it, where the service panics.
    pub(crate) fn make_task(&mut self, connection: SourceId) -> NativeTask<S> {
        match caught(|| self.service.connect(connection)) {
            Ok(conn) => NativeTask::serve(conn),
            Err(said) => {
                self.counts.failed += 1;
                let name = self.service.name();
                tracing::error!(source = %connection, "{name}: panicked when a connection came: {said}");
                NativeTask(Kind::Unserved(connection))
            }
        }
    }

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
        self.compute.submit(id, Caught::new(job));
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as Job>::Output> {
        self.compute.take(id)?.into_inner()
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

const _: () = assert!(
    size_of::<Option<NativeTask<sinbin_core::fib_service::Fib>>>()
        == size_of::<sinbin_core::fib_service::FibConn>(),
    "what surrounds a task takes no room"
);
