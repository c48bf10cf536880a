//! Hosts, which do the I/O and the computing for tasks, and services, which they run.

use crate::job::Job;
use crate::kernel::error::{Failure, IoError};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::storage::Storage;

/// Does the I/O: nonblocking operations on sources that it keeps under ids of the kernel's.
pub trait Host: Sized {
    /// Where the kernel's tables live.
    type Storage: Storage;
    /// The tasks that it runs: one type, mostly an `enum`, that is a [`Task`](crate::Task) of this host.
    type Task;

    /// Takes a connection from `listener` and keeps it as `new`.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when none is there, [`IoError::NoRoom`] when it could not keep it: it waits
    /// with the listener then. [`IoError::Reset`] when the client was gone before it was taken, [`IoError::Stopping`] or
    /// [`IoError::Closed`] when no other will come.
    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError>;

    /// Receives into `buffer` and returns how much; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when nothing is there; [`IoError::Stopping`] instead, once the host is to stop.
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError>;

    /// Sends from the front of `bytes` and returns how much.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when there is no room at all.
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError>;

    /// Ends the source. What was sent still arrives.
    fn close(&mut self, source: SourceId);

    /// Makes the task that serves `connection`, which came in by `listener`.
    fn serve(&mut self, listener: SourceId, connection: SourceId) -> Self::Task;

    /// Returns the time by the host's clock, in the middle of a turn that began at `turn`: that moment or a later one. A
    /// span that a task asks for counts from here, however long the turn has taken already. A host that has no clock at
    /// hand returns `turn`, as this does.
    #[inline]
    fn clock(&self, turn: Instant) -> Instant {
        turn
    }

    /// A task is over; for reports.
    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        let _ = (task, failure);
    }
}

/// A host that computes for its tasks: in threads, in slices ([`Slicer`](crate::Slicer)), or elsewhere.
pub trait Jobs<J: Job>: Host {
    /// Begins with `job`. When it is done, the host says so to the kernel.
    fn submit(&mut self, id: JobId, job: J);

    /// The result, once.
    fn take(&mut self, id: JobId) -> Option<J::Output>;

    /// Gives a job up whose result is not wanted any more: the work on it ends with the present slice.
    fn cancel(&mut self, id: JobId);
}

/// A service: what to run for each connection, and the settings that all of them share.
pub trait Service {
    /// The state of one connection.
    type Conn: Unpin;
    /// The jobs that connections have computed off the loop; [`NoJob`](crate::NoJob) if there are none.
    type Job: Job;

    /// Begins to serve a connection.
    fn connect(&self, source: SourceId) -> Self::Conn;

    /// Returns the service's name, for reports.
    fn name(&self) -> &'static str {
        core::any::type_name::<Self>()
    }
}

/// A host that runs the service `S`.
pub trait Serves<S: Service>: Host {
    /// The service, with its settings.
    fn service(&self) -> &S;
}
