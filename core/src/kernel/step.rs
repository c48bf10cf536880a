//! What a task says when it stops running, and what it is told when it runs again.

use crate::kernel::error::Failure;
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::slab::NONE;
use crate::kernel::wait_slot::{Table, WaitSlot};

/// The most things that one wait can name.
pub const MAX_WAITS: usize = 4;

/// Something that a task can wait for. The talk's names are `'recv'`, `'send'` and `'future'`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WaitTarget {
    /// Bytes, a new connection, or the end of the stream.
    Recv(SourceId),
    /// Room to send.
    Send(SourceId),
    /// The end of the connection in both directions; `select`'s exceptional set.
    Hangup(SourceId),
    /// The end of a job.
    Job(JobId),
}

/// What a task waits for: the first of up to [`MAX_WAITS`] things, or a deadline, or a wake by name
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
    /// The place of the task that is to end it by name; [`NONE`] where nobody knows, or [`OUTSIDE`].
    pub(crate) by: u32,
}

/// Stands for whoever is not a task; no place has this index.
pub(crate) const OUTSIDE: u32 = NONE - 1;

/// Who is to end a wait by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExpectedWaker {
    /// Some task.
    Anyone,
    /// This one: what is waited for is in its hands.
    Task(TaskId),
    /// Something that is not a task, such as another thread or an interrupt.
    Outside,
}

/// Something to wait for in eight bytes: the place that it has in the wait tables, and the generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaitKey {
    pub(crate) wait_slot: WaitSlot,
    pub(crate) generation: u32,
}

impl WaitKey {
    pub(crate) const NOTHING: Self = Self { wait_slot: WaitSlot::NONE, generation: 0 };

    pub(crate) const fn new(target: WaitTarget) -> Self {
        let (table, index, generation) = match target {
            WaitTarget::Recv(source) => (Table::Recv, source.index, source.generation),
            WaitTarget::Send(source) => (Table::Send, source.index, source.generation),
            WaitTarget::Hangup(source) => (Table::Hangup, source.index, source.generation),
            WaitTarget::Job(job) => (Table::Job, job.index, job.generation),
        };
        Self { wait_slot: WaitSlot::new(table, index), generation }
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
    /// For a wake by name alone.
    #[must_use]
    #[inline]
    pub const fn wake() -> Self {
        Self { targets: [WaitKey::NOTHING; MAX_WAITS], deadline: Instant::NEVER, by: NONE }
    }

    /// For one thing.
    #[must_use]
    #[inline]
    pub const fn on(target: WaitTarget) -> Self {
        let mut wait = Self::wake();
        wait.targets[0] = WaitKey::new(target);
        wait
    }

    /// For bytes from `source`.
    #[must_use]
    #[inline]
    pub const fn recv(source: SourceId) -> Self {
        Self::on(WaitTarget::Recv(source))
    }

    /// For room to send to `source`.
    #[must_use]
    #[inline]
    pub const fn send(source: SourceId) -> Self {
        Self::on(WaitTarget::Send(source))
    }

    /// For the end of `job`.
    #[must_use]
    #[inline]
    pub const fn job(job: JobId) -> Self {
        Self::on(WaitTarget::Job(job))
    }

    /// For a moment.
    #[must_use]
    #[inline]
    pub const fn time(deadline: Instant) -> Self {
        Self::wake().until(deadline)
    }

    /// For `target` as well. Past [`MAX_WAITS`] things it changes nothing.
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

    /// Says who is to end it by name. Whatever that is, everybody can; but a wait that [`ExpectedWaker::Outside`] is to
    /// end is never [`Stalled`](crate::Rest::Stalled), and for the others the report can say who waits for whom.
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

    /// What it is for, in the order in which it was said.
    pub fn targets(&self) -> impl Iterator<Item = WaitTarget> + use<> {
        self.targets.into_iter().take_while(|target| !target.wait_slot.is_none()).map(WaitKey::target)
    }

    /// When it ends at the latest; [`Instant::NEVER`] if it has no deadline.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Until `deadline` at the latest. [`Instant::NEVER`] means no deadline.
    #[must_use]
    #[inline]
    pub const fn until(mut self, deadline: Instant) -> Self {
        self.deadline = deadline;
        self
    }
}

/// How a turn of a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It goes to the bin until one of these is there.
    Wait(Wait),
    /// It goes to the end of the run queue.
    Yield,
    /// It is over.
    Done,
    /// It is over, because of this.
    Fail(Failure),
}

/// Why a task runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeReason {
    /// For the first time.
    Spawned,
    /// It had yielded.
    Yielded,
    /// Something it waited for is ready. Which one, it finds out by trying.
    Ready,
    /// The connection ended in both directions.
    Hangup,
    /// Somebody named it.
    Named,
    /// The deadline came first.
    TimedOut,
    /// A source or job that it waited for is closed, or never was there.
    Closed,
    /// Another task already waits for the same thing.
    Busy,
    /// It is cancelled. This is said once; the task should clean up and end.
    Cancelled,
}
