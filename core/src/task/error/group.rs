//! Errors of [groups](crate::group).

use core::fmt;

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::task::error::WaitError;

/// Tasks that failed beside the first.
#[cfg(feature = "alloc")]
pub type Others<E> = alloc::vec::Vec<Other<E>>;
/// Tasks that failed beside the first.
#[cfg(not(feature = "alloc"))]
pub type Others<E> = heapless::Vec<Other<E>, MAX_CHILDREN>;

/// How many tasks a group can have at a time at least; with a heap (feature `alloc`), the kernel's limit is the only
/// one.
pub const MAX_CHILDREN: usize = 16;

/// The reason for which a task of a group failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause<E> {
    /// The task returned this.
    Error(E),
    /// The task panicked.
    Panicked,
    /// The group's own task can't go on waiting for it.
    Wait(WaitError),
}

/// A task that failed: which, what it is called, where it was spawned, and why. Where that is the failure of a
/// group in turn, it says who waited for whom.
#[derive(Clone, Debug)]
pub struct Failed<E> {
    /// Which task.
    pub task: TaskId,
    /// The task's name, and where it was spawned; unknown of the group's own task.
    pub label: Option<Label>,
    /// Why.
    pub cause: Cause<E>,
    /// The tasks of the group that failed after it, in the order of their ends: in the same turn, or while they were
    /// cleaning up. [`Group::next`](crate::group::Group::next) leaves it empty, as it returns them itself.
    pub others: Others<E>,
}

/// A task that failed after the first of its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Other<E> {
    /// Which task.
    pub task: TaskId,
    /// The task's name, and where it was spawned.
    pub label: Label,
    /// Why.
    pub cause: Cause<E>,
    /// True if the task had been told that it is cancelled, which then is mostly why it failed.
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

/// Shows the first failure, and the others of tasks that had not been told that they are cancelled.
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
