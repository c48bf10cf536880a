//! Introspection: a list of all tasks, and a check of the promises.

mod state;

use core::fmt;

use crate::kernel::Kernel;
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::slab::{Entry, NONE};
use crate::kernel::step::{ExpectedWaker, MAX_WAITS, OUTSIDE, WaitKey, WaitTarget, WakeReason};
use crate::kernel::storage::Storage;
use crate::kernel::task_slot::{TaskSlot, TaskState};
use crate::kernel::wait_slot::{Table, WaitSlot};
use crate::kernel::wait_tables::SourceSlot;

/// The current state of a task, for reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskView {
    /// The task.
    pub id: TaskId,
    /// The state of the task.
    pub state: TaskState,
    /// The beginning of the turn in which the task entered this state.
    pub since: Instant,
    /// The things that the task waits for. If there are none, a waiting task waits for its deadline or a wake-up.
    pub waits: [Option<WaitTarget>; MAX_WAITS],
    /// The deadline of the wait; [`Instant::NEVER`] without one.
    pub deadline: Instant,
    /// The party that is expected to wake the task.
    pub by: ExpectedWaker,
}

impl TaskView {
    /// Creates the view of a task from its slot, and from what the slot refers to.
    pub(crate) fn of(
        id: TaskId,
        slot: &TaskSlot,
        waits: [Option<WaitTarget>; MAX_WAITS],
        by: ExpectedWaker,
    ) -> Self {
        let waiting = slot.state == TaskState::Waiting;
        Self {
            id,
            state: slot.state,
            since: slot.since,
            waits,
            deadline: if waiting { slot.deadline } else { Instant::NEVER },
            by: if waiting { by } else { ExpectedWaker::Anyone },
        }
    }
}

impl fmt::Display for TaskView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}: ", self.id)?;
        match self.state {
            TaskState::Ready => return f.write_str("ready to run"),
            TaskState::Waiting => {}
        }
        let mut lead = "waits for ";
        for target in self.waits.iter().flatten() {
            match target {
                WaitTarget::Recv(source) => write!(f, "{lead}recv on source {source}")?,
                WaitTarget::Send(source) => write!(f, "{lead}send on source {source}")?,
                WaitTarget::Hangup(source) => write!(f, "{lead}hangup of source {source}")?,
                WaitTarget::Job(job) => write!(f, "{lead}job {job}")?,
            }
            lead = " or ";
        }
        match (self.waits[0], self.deadline == Instant::NEVER) {
            (None, true) => match self.by {
                ExpectedWaker::Anyone => f.write_str("waits to be woken by name"),
                ExpectedWaker::Task(task) => write!(f, "waits for task {task}"),
                ExpectedWaker::Outside => f.write_str("waits to be woken from outside"),
            },
            (None, false) => f.write_str("waits for its deadline"),
            (Some(_), true) => Ok(()),
            (Some(_), false) => f.write_str(" until its deadline"),
        }
    }
}

/// A promise that does not hold: a bug in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(pub &'static str);

impl<S: Storage> Kernel<S> {
    /// Returns every task with its state and the things that it waits for, in the order of their slots.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView> + '_ {
        let live = self.slots().iter().enumerate().filter(|(_, entry)| entry.is_live());
        live.map(move |(index, entry)| {
            let slot = &entry.value;
            let waits = slot
                .wait_slots
                .map(|wait_slot| (wait_slot != WaitSlot::NONE).then(|| self.describe(wait_slot)));
            let id = TaskId::new(u32::try_from(index).unwrap_or(NONE), entry.generation);
            TaskView::of(id, slot, waits, self.by(slot.by))
        })
    }

    /// Returns the number of tasks.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tasks.live() as usize
    }

    /// Returns true if [`spawn`](Self::spawn) would return [`Full`](crate::Full).
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tasks.is_full()
    }

    /// Returns the state of the task, or `None` if it is gone.
    #[must_use]
    pub fn state(&self, task: TaskId) -> Option<TaskState> {
        Some(self.tasks.get(task.index, task.generation)?.state)
    }

    /// Returns the run queue: the ready tasks, in the order in which they will run. A running task is the first of
    /// them.
    pub fn queue(&self) -> impl Iterator<Item = TaskId> + '_ {
        let mut next = self.ready.head;
        (0..self.ready.len).map_while(move |_| {
            let index = next;
            let entry = self.slots().get(index as usize)?;
            next = entry.link;
            Some(TaskId::new(index, entry.generation))
        })
    }

    /// Returns why the task runs or last ran, or `None` if it is gone.
    #[must_use]
    pub fn wake_reason(&self, task: TaskId) -> Option<WakeReason> {
        Some(self.tasks.get(task.index, task.generation)?.wake_reason)
    }

    /// Returns true if the job exists.
    #[must_use]
    pub fn has_job(&self, job: JobId) -> bool {
        self.wait_tables.wait_slot(WaitKey::new(WaitTarget::Job(job))).is_some()
    }

    /// Returns the party that the `by` of a waiting task's slot stands for: the task that has this index now, if any.
    fn by(&self, by: u32) -> ExpectedWaker {
        match (by, self.slots().get(by as usize)) {
            (OUTSIDE, _) => ExpectedWaker::Outside,
            (_, Some(entry)) if entry.is_live() => ExpectedWaker::Task(TaskId::new(by, entry.generation)),
            _ => ExpectedWaker::Anyone,
        }
    }

    /// Checks all structures against each other. O(n); for tests and simulators, between any two calls.
    ///
    /// # Errors
    ///
    /// Returns [`Broken`] with the first promise that does not hold.
    pub fn audit(&self) -> Result<(), Broken> {
        let mut seen = Census::default();
        for (index, entry) in self.slots().iter().enumerate() {
            let slot = &entry.value;
            seen.timed += u32::from(slot.timer != NONE);
            let waiting = entry.is_live() && slot.state == TaskState::Waiting;
            if waiting {
                seen.wait_slots += self.audit_wait_slots(index, slot)?;
                let has_timer = slot.deadline == Instant::NEVER || slot.timer != NONE;
                ensure(has_timer, "a deadline has a timer")?;
            } else {
                let is_none = slot.wait_slots.iter().all(|wait_slot| *wait_slot == WaitSlot::NONE);
                ensure(is_none, "a task that does not wait is in no wait table")?;
            }
            if entry.is_live() {
                seen.count(index, slot);
            }
        }
        self.audit_counts(&seen)?;
        self.audit_timers()?;
        self.audit_queue(&seen)
    }

    /// Checks one task, as [`audit`](Self::audit) checks all: every table must agree on the task's state. O(1). A task
    /// that is gone passes.
    ///
    /// # Errors
    ///
    /// Returns [`Broken`] with the first promise that does not hold.
    pub fn audit_task(&self, task: TaskId) -> Result<(), Broken> {
        let entry = self.slots().get(task.index()).filter(|entry| entry.is_live());
        let Some(entry) = entry.filter(|entry| entry.generation == task.generation) else { return Ok(()) };
        let slot = &entry.value;
        if slot.state == TaskState::Ready {
            let is_none = slot.wait_slots.iter().all(|wait_slot| *wait_slot == WaitSlot::NONE);
            return ensure(is_none, "a task that does not wait is in no wait table");
        }
        self.audit_wait_slots(task.index(), slot)?;
        if slot.deadline == Instant::NEVER {
            return Ok(());
        }
        let timer = self.timers.entries().get(slot.timer as usize).ok_or(Broken("a deadline has a timer"))?;
        ensure(timer.task as usize == task.index(), "a timer refers to its task")?;
        ensure(timer.at <= slot.deadline, "a timer fires no later than its deadline")
    }

    fn audit_counts(&self, seen: &Census) -> Result<(), Broken> {
        ensure(seen.live as usize == self.count(), "every task is counted")?;
        ensure(seen.timed as usize == self.timers.entries().len(), "a slot has at most one timer")?;
        ensure(seen.wait_slots as usize == self.waiters(), "a task in a wait table waits there")?;
        ensure(seen.open_ended == self.open_ended, "waits that only a task can end are counted")?;
        ensure(seen.told == self.cancelling, "undelivered cancellations are counted")
    }

    fn audit_queue(&self, seen: &Census) -> Result<(), Broken> {
        let queue = &self.ready;
        ensure(queue.len == seen.ready, "the ready tasks are queued, and no others")?;
        let mut unseen = seen.fingerprints;
        let mut index = queue.head as usize;
        for _ in 0..queue.len {
            let entry = self.slots().get(index).ok_or(Broken("the queue holds tasks"))?;
            let is_ready = entry.is_live() && entry.value.state == TaskState::Ready;
            ensure(is_ready, "a queued task is ready")?;
            unseen = unseen.wrapping_sub(fingerprint(index));
            index = entry.link as usize;
        }
        // The loop saw as many tasks as are ready: if it saw one twice, it missed another.
        ensure(unseen == 0, "a task is queued once")
    }

    /// Returns the number of wait tables that the task is in.
    #[inline]
    fn audit_wait_slots(&self, index: usize, slot: &TaskSlot) -> Result<u32, Broken> {
        let mut count = 0;
        for wait_slot in slot.wait_slots {
            if wait_slot != WaitSlot::NONE {
                count += 1;
                ensure(self.waiter(wait_slot) as usize == index, "a waiting task is in its wait tables")?;
            }
        }
        Ok(count)
    }

    fn audit_timers(&self) -> Result<(), Broken> {
        let timers = self.timers.entries();
        for (position, timer) in timers.iter().enumerate() {
            let entry = self.slots().get(timer.task as usize).ok_or(Broken("a timer has a task"))?;
            let slot = &entry.value;
            ensure(slot.timer as usize == position, "a timer refers to its task")?;
            let waiting = entry.is_live() && slot.state == TaskState::Waiting;
            ensure(!waiting || timer.at <= slot.deadline, "a timer fires no later than its deadline")?;
            let above = &timers[position.saturating_sub(1) / 2];
            ensure(above.at <= timer.at, "the first timer is at the top")?;
        }
        Ok(())
    }

    fn slots(&self) -> &[Entry<TaskSlot>] {
        self.tasks.entries()
    }

    /// Returns the task that waits in the slot.
    fn waiter(&self, wait_slot: WaitSlot) -> u32 {
        let index = wait_slot.index() as usize;
        match wait_slot.table() {
            Table::Job => self.wait_tables.jobs.entries()[index].value.waiter,
            table => self.wait_tables.sources.entries()[index].value.waiters[table as usize],
        }
    }

    /// Returns the number of waiters in all wait tables.
    fn waiters(&self) -> usize {
        let taken = |waiter: &u32| usize::from(*waiter != NONE);
        let mut count = 0;
        for entry in self.wait_tables.sources.entries() {
            if entry.is_live() {
                count += entry.value.waiters.iter().map(taken).sum::<usize>();
            }
        }
        for entry in self.wait_tables.jobs.entries() {
            if entry.is_live() {
                count += taken(&entry.value.waiter);
            }
        }
        count
    }

    /// Returns the thing that the slot belongs to, with the slot's current generation.
    fn describe(&self, wait_slot: WaitSlot) -> WaitTarget {
        let index = wait_slot.index();
        let source = |entries: &[Entry<SourceSlot>]| SourceId::new(index, entries[index as usize].generation);
        match wait_slot.table() {
            Table::Recv => WaitTarget::Recv(source(self.wait_tables.sources.entries())),
            Table::Send => WaitTarget::Send(source(self.wait_tables.sources.entries())),
            Table::Hangup => WaitTarget::Hangup(source(self.wait_tables.sources.entries())),
            Table::Job => {
                WaitTarget::Job(JobId::new(index, self.wait_tables.jobs.entries()[index as usize].generation))
            }
        }
    }
}

/// Counts over all task slots.
#[derive(Default)]
struct Census {
    live: u32,
    ready: u32,
    /// The sum of the fingerprints of the ready tasks.
    fingerprints: u64,
    timed: u32,
    /// The number of taken slots in the wait tables.
    wait_slots: u32,
    open_ended: u32,
    told: u32,
}

impl Census {
    #[inline]
    fn count(&mut self, index: usize, slot: &TaskSlot) {
        self.live += 1;
        self.told += u32::from(slot.is_to_be_told());
        match slot.state {
            TaskState::Ready => {
                self.ready += 1;
                self.fingerprints = self.fingerprints.wrapping_add(fingerprint(index));
            }
            TaskState::Waiting => self.open_ended += u32::from(slot.is_open_ended()),
        }
    }
}

/// Returns a number for `index`. Sums of these numbers distinguish sets of equal size, without memory for a set.
fn fingerprint(index: usize) -> u64 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[inline]
fn ensure(holds: bool, promise: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(promise)) }
}
