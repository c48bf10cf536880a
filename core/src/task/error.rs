//! What can go wrong in an `async fn`.

use core::fmt;

use crate::kernel::error::{Failure, IoError, Op};
use crate::kernel::id::SourceId;
use crate::sync::{PermitError, RecvError, SendError};
use crate::task::join::JoinError;
use crate::task::offload::Lost;
use crate::time::Elapsed;

/// Why a future was not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The task is cancelled: it should clean up and end. A wait that is needed for that can be
    /// [shielded](crate::task::Loop::shield).
    Cancelled,
    /// It was used outside a task of its own loop: in one of another kernel, or in none.
    Elsewhere,
    /// An executor within the task (`FuturesUnordered`, for one) polls it with a waker of its own, which the
    /// kernel does not know; only moments can be waited for so. Use a [group](crate::group), or
    /// [`join`](crate::task::join), which polls all.
    Wrapped,
    /// The task waits for more than [`MAX_WAITS`](crate::MAX_WAITS) things at once, or for more than there is. Spawn
    /// tasks for them.
    TooMany,
    /// Another task waits for the same thing, or another operation is in the middle of it.
    Busy,
    /// There is no place for another task, source or job.
    Full,
}

impl fmt::Display for Refused {
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

impl core::error::Error for Refused {}

/// Why an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// What was tried, on what, and what the host says.
    Failed(Failure),
    /// It was not tried.
    Refused(Refused),
    /// Another task, whose result was wanted, has none: which, where it was spawned, and why.
    Task(JoinError),
    /// The channel is closed.
    Closed,
    /// A job has no result.
    Job(Lost),
    /// It took too long.
    Elapsed,
}

impl Error {
    pub(crate) const fn of(op: Op, source: SourceId, error: IoError) -> Self {
        Self::Failed(Failure { op, source, error })
    }

    /// What the host says, if it was asked.
    #[must_use]
    pub const fn io(&self) -> Option<IoError> {
        match self {
            Self::Failed(failure) => Some(failure.error),
            _ => None,
        }
    }

    /// Whether the task is to end though nothing went wrong: it is cancelled, or its host is stopping.
    #[must_use]
    pub const fn is_the_end(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refused::Cancelled) | Self::Failed(Failure { error: IoError::Stopping, .. })
        )
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        Self::Task(error)
    }
}

impl<T> From<SendError<T>> for Error {
    fn from(error: SendError<T>) -> Self {
        match error {
            SendError::Closed(_) => Self::Closed,
            SendError::Full(_) => Self::Refused(Refused::Full),
            SendError::Refused(refused, _) => Self::Refused(refused),
        }
    }
}

impl From<RecvError> for Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Closed => Self::Closed,
            RecvError::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl From<PermitError> for Error {
    fn from(error: PermitError) -> Self {
        Self::Refused(match error {
            PermitError::Above { .. } => Refused::TooMany,
            PermitError::Refused(refused) => refused,
        })
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Self::Job(lost)
    }
}

impl From<Elapsed> for Error {
    fn from(_: Elapsed) -> Self {
        Self::Elapsed
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::Task(error) => error.fmt(f),
            Self::Closed => f.write_str("the channel is closed"),
            Self::Job(lost) => lost.fmt(f),
            Self::Elapsed => Elapsed.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// A future, or a task, for which there was no place: it is given back. `?` makes an [`Error`], a [`Refused`] or a
/// [`Lost`] of it; a `Box<dyn Error>` it can become only where the future borrows nothing.
pub struct Unspawned<F>(pub F);

impl<F> fmt::Debug for Unspawned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unspawned(..)")
    }
}

impl<F> fmt::Display for Unspawned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no place for another task")
    }
}

impl<F> core::error::Error for Unspawned<F> {}

impl<F> From<Unspawned<F>> for Refused {
    fn from(_: Unspawned<F>) -> Self {
        Self::Full
    }
}

impl<F> From<Unspawned<F>> for Error {
    fn from(_: Unspawned<F>) -> Self {
        Self::Refused(Refused::Full)
    }
}
