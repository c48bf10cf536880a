//! Hosts, which do the I/O and the computing for tasks, and services, which hosts run.

use core::net::SocketAddr;

use crate::exec::label::{Label, NamedWait};
use crate::job::Job;
use crate::kernel::Kernel;
use crate::kernel::error::{Failure, IoError};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::step::Step;
use crate::kernel::storage::Storage;

/// A host: it does the I/O for tasks, by nonblocking operations on sources that it keeps under ids of the kernel.
///
/// ```
/// use std::collections::VecDeque;
///
/// # use sinbin_core::{Fixed, Host, IoError, SourceId};
/// # struct Ping;
///
/// /// A host in memory with one source, which receives the bytes that are sent to it.
/// struct Loopback(VecDeque<u8>);
///
/// impl Host for Loopback {
///     type Storage = Fixed<4>;
///     type Task = Ping;
///
///     fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
///         Err(IoError::Unsupported)
///     }
///
///     fn recv(&mut self, _: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
///         if self.0.is_empty() {
///             return Err(IoError::WouldBlock);
///         }
///         let count = buffer.len().min(self.0.len());
///         buffer.iter_mut().zip(self.0.drain(..count)).for_each(|(to, from)| *to = from);
///         Ok(count)
///     }
///
///     fn send(&mut self, _: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
///         self.0.extend(bytes);
///         Ok(bytes.len())
///     }
///
///     fn close(&mut self, _: SourceId) {
///         self.0.clear();
///     }
///
///     fn serve(&mut self, _: SourceId, _: SourceId) -> Ping {
///         unreachable!("no connection is accepted")
///     }
/// }
/// ```
pub trait Host: Sized {
    /// The storage of the kernel's tables.
    type Storage: Storage;
    /// The type of the tasks, often an `enum`, which is a [`Task`](crate::Task) of this host.
    type Task;

    /// Accepts a connection from `listener` and keeps it as `new`.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] if no connection is pending, [`IoError::NoRoom`] if the host cannot keep it
    /// (the connection stays in the listener's backlog), [`IoError::Reset`] if the client left before it was accepted,
    /// and [`IoError::Stopping`] or [`IoError::Closed`] if no further connection will come.
    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError>;

    /// Receives into `buffer` and returns the number of bytes; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] if no bytes are available, or with [`IoError::Stopping`] instead if the host
    /// is stopping.
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError>;

    /// Sends from the front of `bytes` and returns the number of bytes sent.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] if not even one byte can be sent.
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError>;

    /// Closes the source. Bytes that were sent before still arrive.
    fn close(&mut self, source: SourceId);

    /// Creates the task that serves `connection`, which was accepted from `listener`.
    fn serve(&mut self, listener: SourceId, connection: SourceId) -> Self::Task;

    /// Returns the time by the host's clock, in the middle of a turn that began at `turn`. The result is not earlier
    /// than `turn`. A timeout that a task requests counts from this time, however long the turn has taken already. A
    /// host that cannot read a clock returns `turn`, as the default does.
    #[inline]
    fn clock(&self, turn: Instant) -> Instant {
        turn
    }

    /// Notifies the host that a task was spawned for a listener or a connection; for reports.
    #[inline]
    fn spawned(&mut self, task: TaskId, source: SourceId) {
        let _ = (task, source);
    }

    /// Notifies the host that the running task `parent` has spawned `task`; for reports.
    #[inline]
    fn spawned_by(&mut self, parent: TaskId, task: TaskId) {
        let _ = (parent, task);
    }

    /// Notifies the host that the executor has stored `task`, whose name `label` returns; for reports. `label` may
    /// panic where the task's own code does.
    #[inline]
    fn stored(&mut self, task: TaskId, label: impl FnOnce() -> Option<Label>) {
        let _ = (task, label);
    }

    /// Notifies the host of the named lock, channel or other synchronizer that `task` waits for from now on, or that it
    /// waits for none any more; for reports. A wait without a name is not reported.
    #[inline]
    fn waits_for(&mut self, task: TaskId, wait: Option<NamedWait>) {
        let _ = (task, wait);
    }

    /// Notifies the host that the first task of the run queue is about to run a step; for reports, and for
    /// simulators, which check each step.
    #[inline]
    fn before_step(&mut self, kernel: &Kernel<Self::Storage>) {
        let _ = kernel;
    }

    /// Notifies the host that the first task of the run queue has run `step`, which the kernel has not seen yet; for
    /// simulators.
    #[inline]
    fn after_step(&mut self, kernel: &Kernel<Self::Storage>, step: &Step) {
        let _ = (kernel, step);
    }

    /// Notifies the host that a task has ended; for reports.
    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        let _ = (task, failure);
    }
}

/// A host that computes jobs for its tasks: in threads, in slices ([`Slicer`](crate::job::Slicer)), or elsewhere.
pub trait Jobs<J: Job>: Host {
    /// Starts `job`. When it is done, the host reports that to the kernel.
    fn submit(&mut self, id: JobId, job: J);

    /// Removes and returns the result of the job, if it is done.
    fn take(&mut self, id: JobId) -> Option<J::Output>;

    /// Cancels a job whose result is no longer needed. Work on it ends with the current slice at the latest.
    fn cancel(&mut self, id: JobId);
}

/// A host from which tasks can request connections. It never blocks: [`Cx::connect`](crate::Cx::connect) explains the
/// use.
pub trait Connects: Host {
    /// Starts to connect to `address` as `new`, which becomes ready to send when the attempt has ended.
    ///
    /// # Errors
    ///
    /// Fails with the system's error: [`IoError::Unsupported`] if tasks may not connect.
    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError>;

    /// Starts to resolve `host` and to connect to one of its addresses as `new`, as [`connect`](Self::connect) does.
    ///
    /// # Errors
    ///
    /// Fails as [`connect`](Self::connect) does: with [`IoError::Unsupported`] if the host resolves no names by itself.
    fn connect_name(&mut self, host: &str, port: u16, new: SourceId) -> Result<(), IoError>;

    /// Returns the outcome of an attempt to connect.
    ///
    /// # Errors
    ///
    /// Fails with the reason why there is no connection: [`IoError::WouldBlock`] if the attempt is still in progress.
    fn connected(&mut self, source: SourceId) -> Result<(), IoError>;
}

/// A service: the task of each connection, and the settings that all connections share.
///
/// ```
/// use core::pin::Pin;
/// # use sinbin_core::{Cx, Instant, NoJob, Serves, Service, SourceId, Step, Task};
///
/// /// Sends a greeting to each client, and closes the connection.
/// struct Greeter {
///     greeting: &'static str,
/// }
///
/// struct Connection {
///     source: SourceId,
///     sent: usize,
/// }
///
/// impl Service for Greeter {
///     type Conn = Connection;
///     type Job = NoJob;
///
///     fn connect(&self, source: SourceId) -> Connection {
///         Connection { source, sent: 0 }
///     }
/// }
///
/// impl<H: Serves<Greeter>> Task<H> for Connection {
///     fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
///         let greeting = cx.host.service().greeting.as_bytes();
///         match cx.send_all(self.source, greeting, &mut self.sent, Instant::NEVER) {
///             Ok(()) => Step::Done,
///             Err(step) => step,
///         }
///     }
///
///     fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
///         cx.close(self.source);
///     }
/// }
/// ```
pub trait Service {
    /// The state of one connection.
    type Conn: Unpin;
    /// The jobs of connections, which are computed off the loop; [`NoJob`](crate::NoJob) for a service without jobs.
    type Job: Job;

    /// Creates the state of a new connection.
    fn connect(&self, source: SourceId) -> Self::Conn;

    /// Returns the service's name, for reports.
    fn name(&self) -> &'static str {
        core::any::type_name::<Self>()
    }
}

/// A host that runs the service `S`.
pub trait Serves<S: Service>: Host {
    /// Returns the service, with its settings.
    fn service(&self) -> &S;
}
