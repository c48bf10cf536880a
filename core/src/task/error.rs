//! The errors of the operations of `async fn`s. The errors of [`sync`](crate::sync) and [`group`](crate::group) are
//! here too, because the report of a failed task has to know all of them.

pub(crate) mod group;
pub(crate) mod sync;

use core::fmt;
use core::net::SocketAddr;

use crate::exec::label::Label;
use crate::kernel::error::{Failure, IoError, Op};
use crate::kernel::id::{SourceId, TaskId};
use crate::task::endpoint::{Endpoint, EndpointText};

/// Error returned when a future can't be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// The task is cancelled: it should clean up and end. A wait that is needed for the cleanup can be
    /// [shielded](crate::task::Handle::shield).
    Cancelled,
    /// The future was used outside a task of its own loop: in a task of another kernel, or in no task.
    Elsewhere,
    /// An executor within the task (`FuturesUnordered`, for example) polls the future with a waker of its own, which
    /// the kernel does not know. Such a future can't wait until the loop [is to stop](crate::task::Handle::stopping).
    /// Without a heap, such a future can wait only for deadlines: use a [group](crate::group), or
    /// [`join`](crate::task::join), which polls all of its futures.
    Wrapped,
    /// The task asks for more permits than exist, or waits for more than [`MAX_WAITS`](crate::kernel::MAX_WAITS) sources and
    /// jobs at once, and there is no heap, or no slot for the task that each further wait needs.
    TooMany,
    /// Another task waits for the same target, or another operation on it is in progress.
    Busy,
    /// No slot is free for another task, source or job.
    Full,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the task is cancelled",
            Self::Elsewhere => "it belongs to another loop, and no task of that runs",
            Self::Wrapped => "an executor within the task polls it; the kernel could not wake it",
            Self::TooMany => "the task waits for too many things at once",
            Self::Busy => "another task waits for the same thing",
            Self::Full => "there is no place for another",
        })
    }
}

impl core::error::Error for WaitError {}

/// The reason why a task has no result to return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JoinErrorKind {
    /// The task was cancelled.
    Cancelled,
    /// The task panicked.
    Panicked,
    /// The result was taken before.
    Taken,
    /// A task can't wait for its own end.
    Itself,
    /// Another task waits for the task's end.
    Busy,
    /// The waiting task must not wait: it is cancelled itself, or it is not a task of this loop.
    Wait(WaitError),
}

/// Error returned when the result of a task is not available.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinError {
    /// The id of the task.
    pub task: TaskId,
    /// The task's name, and where it was spawned.
    pub label: Label,
    /// The reason.
    pub why: JoinErrorKind,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, label, why } = self;
        write!(f, "task {task} ({label}) {why}")
    }
}

impl fmt::Display for JoinErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("was cancelled"),
            Self::Panicked => f.write_str("panicked"),
            Self::Taken => f.write_str("was joined before"),
            Self::Itself => f.write_str("can't wait for its own end"),
            Self::Busy => f.write_str("is waited for by another task"),
            Self::Wait(refused) => write!(f, "can't be waited for: {refused}"),
        }
    }
}

impl core::error::Error for JoinError {}

/// The reason why a job has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JobError {
    /// The job was not started: see [`WaitError`]. [`WaitError::Full`] also means that the host does not compute such jobs.
    Wait(WaitError),
    /// The job panicked.
    Failed,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(refused) => write!(f, "the job was not begun: {refused}"),
            Self::Failed => f.write_str("the job failed"),
        }
    }
}

impl core::error::Error for JobError {}

impl From<WaitError> for JobError {
    fn from(refused: WaitError) -> Self {
        Self::Wait(refused)
    }
}

/// Error returned when a time limit has expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

impl core::error::Error for Elapsed {}

/// The error of the operations is a part of most futures, so that its size counts.
const _: () = assert!(size_of::<Error>() <= 48, "a text of an endpoint does not enlarge the error");

/// Error returned by an operation of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operation failed: its kind, its source, and the host's error.
    Failed(Failure),
    /// The operation on an address failed: connecting to it, or listening on it.
    Address {
        /// The operation.
        op: Op,
        /// The address.
        address: SocketAddr,
        /// The host's error.
        error: IoError,
    },
    /// The operation on an endpoint that is not only an address failed: connecting to a name or a path, listening on a
    /// path, or resolving a name.
    Endpoint {
        /// The operation.
        op: Op,
        /// The text of the endpoint.
        endpoint: EndpointText,
        /// The host's error.
        error: IoError,
    },
    /// The operation was not attempted.
    Wait(WaitError),
    /// The task whose result was requested has none: its id, where it was spawned, and the reason.
    Task(JoinError),
    /// The channel is closed.
    Closed,
    /// A receiver was too slow, and missed this number of messages.
    Lagged(u64),
    /// A job has no result.
    Job(JobError),
    /// A time limit has expired.
    Elapsed,
    /// The stream has ended before all bytes that were requested. For a protocol that announces its end (TLS), the
    /// stream was truncated.
    Ended,
    /// The peer has violated the protocol of the stream (TLS, for example), or has refused to continue. The layer that
    /// implements the protocol reports the details.
    Protocol,
    /// A line, or another piece of input that ends with a delimiter, does not fit into the buffer.
    TooLong {
        /// The size of the buffer in bytes.
        limit: usize,
    },
}

impl Error {
    /// Creates the error of an operation on an endpoint, whose text is shortened if it has more than 35 bytes.
    #[must_use]
    pub fn endpoint(op: Op, endpoint: Endpoint<'_>, error: IoError) -> Self {
        Self::Endpoint { op, endpoint: endpoint.text(), error }
    }

    pub(crate) const fn of(op: Op, source: SourceId, error: IoError) -> Self {
        Self::Failed(Failure { op, source, error })
    }

    /// Returns the host's error, if the host attempted the operation.
    #[must_use]
    pub const fn io(&self) -> Option<IoError> {
        match self {
            Self::Failed(Failure { error, .. })
            | Self::Address { error, .. }
            | Self::Endpoint { error, .. } => Some(*error),
            _ => None,
        }
    }

    /// Returns true if the task is to end although nothing went wrong: the task is cancelled, or its host is stopping.
    #[must_use]
    pub const fn is_the_end(&self) -> bool {
        matches!(
            self,
            Self::Wait(WaitError::Cancelled) | Self::Failed(Failure { error: IoError::Stopping, .. })
        )
    }
}

#[cfg(feature = "alloc")]
impl Error {
    /// Returns true if `error`, of any type, [contains](Self::find_in) a task error that [ends a task](Self::is_the_end)
    /// without a failure.
    #[must_use]
    pub fn is_the_end_in(error: &dyn core::any::Any) -> bool {
        Self::find_in(error).is_some_and(Self::is_the_end)
    }

    /// Returns the task error that `error`, of any type, is or contains: in a `Box<dyn Error>`, as the source of an
    /// error in one, or in a `std::io::Error`. The traits of `futures-io` return the latter, so that the errors of
    /// crates above these traits contain a task error too.
    #[must_use]
    pub fn find_in(error: &dyn core::any::Any) -> Option<&Self> {
        if let Some(error) = error.downcast_ref::<Self>() {
            return Some(error);
        }
        #[cfg(feature = "std")]
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Self::in_chain(error);
        }
        Self::in_chain(&**error.downcast_ref::<alloc::boxed::Box<dyn core::error::Error>>()?)
    }

    fn in_chain<'e>(error: &'e (dyn core::error::Error + 'static)) -> Option<&'e Self> {
        core::iter::successors(Some(error), |error| inner(*error)).find_map(|error| error.downcast_ref())
    }
}

/// Returns the error that `error` contains, or its source. The source of an I/O error is that of the error in it.
#[cfg(feature = "alloc")]
fn inner<'e>(
    error: &'e (dyn core::error::Error + 'static),
) -> Option<&'e (dyn core::error::Error + 'static)> {
    #[cfg(feature = "std")]
    if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return Some(inner);
    }
    error.source()
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        Self::Task(error)
    }
}

impl From<JobError> for Error {
    fn from(lost: JobError) -> Self {
        Self::Job(lost)
    }
}

impl From<Elapsed> for Error {
    fn from(_: Elapsed) -> Self {
        Self::Elapsed
    }
}

impl From<WaitError> for Error {
    fn from(refused: WaitError) -> Self {
        Self::Wait(refused)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Address { op: Op::Listen, address, error } => write!(f, "listen on {address}: {error}"),
            Self::Address { op: Op::Recv, address, error } => write!(f, "recv from {address}: {error}"),
            Self::Address { op, address, error } => write!(f, "{op} to {address}: {error}"),
            Self::Endpoint { op, endpoint, error } => match op {
                Op::Listen => write!(f, "listen on {endpoint}: {error}"),
                Op::Resolve => write!(f, "resolve {endpoint}: {error}"),
                _ => write!(f, "{op} to {endpoint}: {error}"),
            },
            Self::Wait(refused) => refused.fmt(f),
            Self::Task(error) => error.fmt(f),
            Self::Closed => f.write_str("the channel is closed"),
            Self::Lagged(missed) => write!(f, "the receiver was too slow and missed {missed} messages"),
            Self::Job(lost) => lost.fmt(f),
            Self::Elapsed => Elapsed.fmt(f),
            Self::Ended => f.write_str("the stream ended before all bytes were received"),
            Self::Protocol => {
                f.write_str("the peer violated the protocol of the stream, or refused to continue")
            }
            Self::TooLong { limit } => write!(f, "the input does not fit into {limit} bytes with its end"),
        }
    }
}

impl core::error::Error for Error {}

/// Converts an error to one of the standard library, which contains it. The kind is that of the host's error.
#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    #[cold]
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Kind;
        let kind = match error {
            Error::Failed(Failure { error, .. })
            | Error::Address { error, .. }
            | Error::Endpoint { error, .. } => Self::from(error).kind(),
            // Not `Interrupted`, after which callers try again.
            Error::Wait(WaitError::Cancelled) => Kind::ConnectionAborted,
            Error::Wait(WaitError::Full) => Kind::OutOfMemory,
            Error::Closed => Kind::BrokenPipe,
            Error::Elapsed => Kind::TimedOut,
            Error::Ended => Kind::UnexpectedEof,
            Error::Protocol | Error::TooLong { .. } => Kind::InvalidData,
            Error::Wait(_) | Error::Task(_) | Error::Job(_) | Error::Lagged(_) => Kind::Other,
        };
        Self::new(kind, error)
    }
}

/// Error returned when a task was not spawned: the kernel has no slot for another task, or no task of the loop runs.
/// `?` converts it into an [`Error`], a [`WaitError`], a [`JobError`] or a `Box<dyn Error>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpawnError;

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no capacity for another task")
    }
}

impl core::error::Error for SpawnError {}

impl From<SpawnError> for WaitError {
    fn from(_: SpawnError) -> Self {
        Self::Full
    }
}

impl From<SpawnError> for Error {
    fn from(error: SpawnError) -> Self {
        Self::Wait(error.into())
    }
}

impl From<SpawnError> for JobError {
    fn from(error: SpawnError) -> Self {
        Self::Wait(error.into())
    }
}

/// A [`SpawnError`] that returns the future or the task that was not spawned.
pub struct TrySpawnError<F>(pub F);

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrySpawnError(..)")
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SpawnError.fmt(f)
    }
}

impl<F> core::error::Error for TrySpawnError<F> {}

impl<F> From<TrySpawnError<F>> for SpawnError {
    fn from(_: TrySpawnError<F>) -> Self {
        Self
    }
}

impl<F> From<TrySpawnError<F>> for WaitError {
    fn from(_: TrySpawnError<F>) -> Self {
        Self::Full
    }
}

impl<F> From<TrySpawnError<F>> for Error {
    fn from(_: TrySpawnError<F>) -> Self {
        Self::Wait(WaitError::Full)
    }
}
