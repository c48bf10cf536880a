//! Errors of [groups](crate::group).

use core::fmt;

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::task::error::WaitError;

/// The tasks that failed after the first.
#[cfg(feature = "alloc")]
pub type Others<E> = alloc::vec::Vec<Other<E>>;
/// The tasks that failed after the first.
#[cfg(not(feature = "alloc"))]
pub type Others<E> = heapless::Vec<Other<E>, MAX_CHILDREN>;

/// The number of tasks that every group can hold at a time. With a heap (feature `alloc`), only the kernel limits the
/// number.
pub const MAX_CHILDREN: usize = 16;

/// The reason why a task of a group failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause<E> {
    /// The error that the task returned.
    Error(E),
    /// The task panicked.
    Panicked,
    /// The group's own task can't wait any longer.
    Wait(WaitError),
}

/// A task that failed: its id, its name, where it was spawned, and why. If the cause is the failure of a nested group,
/// the chain of failures shows which task waited for which.
#[derive(Clone, Debug)]
pub struct Failed<E> {
    /// The id of the task.
    pub task: TaskId,
    /// The task's name, and where it was spawned; `None` for the group's own task.
    pub label: Option<Label>,
    /// The reason for the failure.
    pub cause: Cause<E>,
    /// The tasks of the group that failed afterwards, in the order in which they ended: in the same turn, or during
    /// their cleanup. [`Group::next`](crate::group::Group::next) leaves this list empty, because it returns these tasks
    /// itself.
    pub others: Others<E>,
}

/// A task that failed after the first one of its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Other<E> {
    /// The id of the task.
    pub task: TaskId,
    /// The task's name, and where it was spawned.
    pub label: Label,
    /// The reason for the failure.
    pub cause: Cause<E>,
    /// True if the task had been notified of its cancellation, which is then usually the reason for the failure.
    pub was_told: bool,
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panicked => f.write_str("it panicked"),
            Self::Wait(refused) => refused.fmt(f),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Other<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, label, cause, .. } = self;
        write!(f, "{cause}\n  in task {task} ({label})")
    }
}

/// Shows the first failure, and those of the other tasks that had not been notified of a cancellation.
impl<E: fmt::Display> fmt::Display for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  in task {}", self.cause, self.task)?;
        if let Some(label) = self.label {
            write!(f, " ({label})")?;
        }
        self.others.iter().filter(|other| !other.was_told).try_for_each(|other| write!(f, "\nand: {other}"))
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Failed<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            Cause::Panicked | Cause::Wait(_) => None,
        }
    }
}

impl<E> From<Other<E>> for Failed<E> {
    fn from(Other { task, label, cause, .. }: Other<E>) -> Self {
        Self { task, label: Some(label), cause, others: Others::new() }
    }
}
