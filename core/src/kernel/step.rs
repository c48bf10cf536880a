//! The answers of a task when it stops running, and the reasons why it runs again.

use crate::kernel::error::Failure;
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::slab::NONE;
use crate::kernel::wait_slot::{Table, WaitSlot};

/// The maximum number of things that one wait can name.
pub const MAX_WAITS: usize = 4;

/// An event that a task can wait for. The talk's names are `'recv'`, `'send'` and `'future'`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WaitTarget {
    /// Bytes, a new connection, or the end of the stream can be received.
    Recv(SourceId),
    /// Bytes can be sent.
    Send(SourceId),
    /// The connection has ended in both directions; `select`'s exceptional set.
    Hangup(SourceId),
    /// The job is done.
    Job(JobId),
}

impl WaitTarget {
    /// Returns the source that a task waits for, or `None` if it waits for a job.
    #[must_use]
    pub const fn source(self) -> Option<SourceId> {
        match self {
            Self::Recv(id) | Self::Send(id) | Self::Hangup(id) => Some(id),
            Self::Job(_) => None,
        }
    }
}

/// The condition that a task waits for: the first of up to [`MAX_WAITS`] events, a deadline, or a wake-up
/// ([`Kernel::wake`](crate::Kernel::wake)), whichever comes first.
///
/// ```
/// # use core::time::Duration;
/// # use sinbin_core::{Instant, JobId, SourceId, Wait, WaitTarget};
/// # let (conn, job, now) = (SourceId::from_bits(1), JobId::from_bits(2), Instant::ZERO);
/// let answer = Wait::job(job)
///     .or(WaitTarget::Hangup(conn))
///     .until(now + Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    pub(crate) targets: [WaitKey; MAX_WAITS],
    pub(crate) deadline: Instant,
    /// The index of the task that is expected to wake the waiting task; [`NONE`] if unknown, or [`OUTSIDE`].
    pub(crate) by: u32,
}

/// Stands for a party that is not a task. No slot has this index.
pub(crate) const OUTSIDE: u32 = NONE - 1;

/// The party that is expected to wake a waiting task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExpectedWaker {
    /// Any task.
    Anyone,
    /// This task, which holds the awaited resource.
    Task(TaskId),
    /// A party that is not a task, such as another thread or an interrupt.
    Outside,
}

/// A [`WaitTarget`] in eight bytes: its slot in the wait tables, and its generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WaitKey {
    pub(crate) wait_slot: WaitSlot,
    pub(crate) generation: u32,
}

/// The refusal of a wait, because another task waits for the same target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy;

impl WaitKey {
    pub(crate) const NOTHING: Self = Self { wait_slot: WaitSlot::NONE, generation: 0 };
    /// The key before all others.
    #[cfg(feature = "alloc")]
    pub(crate) const LEAST: Self = Self { wait_slot: WaitSlot(0), generation: 0 };

    pub(crate) const fn new(target: WaitTarget) -> Self {
        let (table, index, generation) = match target {
            WaitTarget::Recv(source) => (Table::Recv, source.index, source.generation),
            WaitTarget::Send(source) => (Table::Send, source.index, source.generation),
            WaitTarget::Hangup(source) => (Table::Hangup, source.index, source.generation),
            WaitTarget::Job(job) => (Table::Job, job.index, job.generation),
        };
        Self { wait_slot: WaitSlot::new(table, index), generation }
    }

    /// Returns the outcome of a wait for this target, now that its task runs because of `reason`, which `fired` belongs
    /// to. `None` means that the task runs for another reason; [`Busy`] that another task waits for the target.
    pub(crate) fn outcome(self, reason: WakeReason, fired: WaitSlot) -> Option<Result<(), Busy>> {
        let mine = self.wait_slot;
        let is_over = match reason {
            WakeReason::Busy if fired == mine => return Some(Err(Busy)),
            WakeReason::Ready => fired == mine,
            // Both end all waits for the source.
            WakeReason::Hangup | WakeReason::Closed => {
                let is_job = |slot: WaitSlot| slot.table() == Table::Job;
                fired.index() == mine.index() && is_job(fired) == is_job(mine)
            }
            _ => false,
        };
        is_over.then_some(Ok(()))
    }

    fn target(self) -> WaitTarget {
        let (index, generation) = (self.wait_slot.index(), self.generation);
        let source = SourceId { index, generation };
        match self.wait_slot.table() {
            Table::Recv => WaitTarget::Recv(source),
            Table::Send => WaitTarget::Send(source),
            Table::Hangup => WaitTarget::Hangup(source),
            Table::Job => WaitTarget::Job(JobId { index, generation }),
        }
    }
}

impl Wait {
    /// Creates a wait that only a wake-up ends.
    #[must_use]
    #[inline]
    pub const fn wake() -> Self {
        Self { targets: [WaitKey::NOTHING; MAX_WAITS], deadline: Instant::NEVER, by: NONE }
    }

    /// Creates a wait for one event.
    #[must_use]
    #[inline]
    pub const fn on(target: WaitTarget) -> Self {
        let mut wait = Self::wake();
        wait.targets[0] = WaitKey::new(target);
        wait
    }

    /// Creates a wait until bytes can be received from `source`.
    #[must_use]
    #[inline]
    pub const fn recv(source: SourceId) -> Self {
        Self::on(WaitTarget::Recv(source))
    }

    /// Creates a wait until bytes can be sent to `source`.
    #[must_use]
    #[inline]
    pub const fn send(source: SourceId) -> Self {
        Self::on(WaitTarget::Send(source))
    }

    /// Creates a wait for the end of `job`.
    #[must_use]
    #[inline]
    pub const fn job(job: JobId) -> Self {
        Self::on(WaitTarget::Job(job))
    }

    /// Creates a wait until `deadline`.
    #[must_use]
    #[inline]
    pub const fn time(deadline: Instant) -> Self {
        Self::wake().until(deadline)
    }

    /// Adds `target` to the events that end the wait. Has no effect if the wait has [`MAX_WAITS`] events already.
    #[must_use]
    pub const fn or(mut self, target: WaitTarget) -> Self {
        let mut free = 0;
        while free < MAX_WAITS {
            if self.targets[free].wait_slot.is_none() {
                self.targets[free] = WaitKey::new(target);
                break;
            }
            free += 1;
        }
        self
    }

    /// Declares the party that is expected to end the wait by a wake-up. Any other party can end it too. A wait for
    /// [`ExpectedWaker::Outside`] never counts as [`Stalled`](crate::Rest::Stalled); for the others, a report of stalled tasks can
    /// list which task waits for which.
    #[must_use]
    #[inline]
    pub const fn woken_by(mut self, by: ExpectedWaker) -> Self {
        self.by = match by {
            ExpectedWaker::Anyone => NONE,
            ExpectedWaker::Task(task) => task.index,
            ExpectedWaker::Outside => OUTSIDE,
        };
        self
    }

    /// Returns the events that end the wait, in the order in which they were added.
    pub fn targets(&self) -> impl Iterator<Item = WaitTarget> + use<> {
        self.targets.into_iter().take_while(|target| !target.wait_slot.is_none()).map(WaitKey::target)
    }

    /// Returns the deadline, or [`Instant::NEVER`] without one.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sets the deadline. [`Instant::NEVER`] means no deadline.
    #[must_use]
    #[inline]
    pub const fn until(mut self, deadline: Instant) -> Self {
        self.deadline = deadline;
        self
    }
}

/// The end of a step: what the task asks of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The task waits until one of these events comes.
    Wait(Wait),
    /// The task goes to the end of the run queue.
    Yield,
    /// The task has ended.
    Done,
    /// The task has ended with this error.
    Fail(Failure),
}

/// The reason why a task runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum WakeReason {
    /// The task runs for the first time.
    Spawned,
    /// The task yielded before.
    Yielded,
    /// A source or job that the task waited for is ready. The task finds out which by trying its operations.
    Ready,
    /// The connection ended in both directions.
    Hangup,
    /// Another task or the host woke the task: [`Kernel::wake`](crate::Kernel::wake).
    Named,
    /// The deadline expired before any event came.
    TimedOut,
    /// A source or job that the task waited for is closed, or never existed.
    Closed,
    /// Another task already waits for the same event.
    Busy,
    /// The task is cancelled. Each cancellation is reported once; the task should clean up and end.
    Cancelled,
}
