//! Looking inside: a list of all tasks, and a check of the promises.

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

/// What a task does at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskView {
    /// Which task.
    pub id: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// Since when.
    pub since: Instant,
    /// What it waits for. A task that waits for nothing here waits for its deadline, or to be named.
    pub waits: [Option<WaitTarget>; MAX_WAITS],
    /// When its wait ends at the latest.
    pub deadline: Instant,
    /// Who is to end its wait by name.
    pub by: ExpectedWaker,
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
    /// Every task, with what it waits for and since when, in the order of their places.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView> + '_ {
        let live = self.slots().iter().enumerate().filter(|(_, entry)| entry.is_live());
        live.map(move |(index, entry)| {
            let slot = &entry.value;
            TaskView {
                id: TaskId::new(u32::try_from(index).unwrap_or(NONE), entry.generation),
                state: slot.state,
                since: slot.since,
                waits: slot
                    .wait_slots
                    .map(|wait_slot| (wait_slot != WaitSlot::NONE).then(|| self.describe(wait_slot))),
                deadline: if slot.state == TaskState::Waiting { slot.deadline } else { Instant::NEVER },
                by: if slot.state == TaskState::Waiting { self.by(slot.by) } else { ExpectedWaker::Anyone },
            }
        })
    }

    /// How many tasks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tasks.live() as usize
    }

    /// Whether [`spawn`](Self::spawn) would say [`Full`](crate::Full).
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tasks.is_full()
    }

    /// Where the task is; `None` if it is gone.
    #[must_use]
    pub fn state(&self, task: TaskId) -> Option<TaskState> {
        Some(self.tasks.get(task.index, task.generation)?.state)
    }

    /// The run queue: the tasks that are ready, in the order in which they will run. While a task runs, it is the
    /// first.
    pub fn queue(&self) -> impl Iterator<Item = TaskId> + '_ {
        let mut next = self.ready.head;
        (0..self.ready.len).map_while(move |_| {
            let index = next;
            let entry = self.slots().get(index as usize)?;
            next = entry.link;
            Some(TaskId::new(index, entry.generation))
        })
    }

    /// Why the task runs, or last ran.
    #[must_use]
    pub fn wake_reason(&self, task: TaskId) -> Option<WakeReason> {
        Some(self.tasks.get(task.index, task.generation)?.wake_reason)
    }

    /// Whether the job is there.
    #[must_use]
    pub fn has_job(&self, job: JobId) -> bool {
        self.wait_tables.wait_slot(WaitKey::new(WaitTarget::Job(job))).is_some()
    }

    /// The task that lives now in the place that a wait named is the one, unless that is gone.
    fn by(&self, by: u32) -> ExpectedWaker {
        match (by, self.slots().get(by as usize)) {
            (OUTSIDE, _) => ExpectedWaker::Outside,
            (_, Some(entry)) if entry.is_live() => ExpectedWaker::Task(TaskId::new(by, entry.generation)),
            _ => ExpectedWaker::Anyone,
        }
    }

    /// Checks every structure against every other. O(n); for tests and simulators, between any two calls.
    ///
    /// # Errors
    ///
    /// The first promise that does not hold.
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
                ensure(is_none, "who does not wait is in no wait table")?;
            }
            if entry.is_live() {
                seen.count(index, slot);
            }
        }
        self.audit_counts(&seen)?;
        self.audit_timers()?;
        self.audit_queue(&seen)
    }

    /// The part of [`audit`](Self::audit) that is about one task: whether all tables agree on where it is. O(1); a task
    /// that is gone is nowhere.
    ///
    /// # Errors
    ///
    /// The first promise that does not hold.
    pub fn audit_task(&self, task: TaskId) -> Result<(), Broken> {
        let entry = self.slots().get(task.index()).filter(|entry| entry.is_live());
        let Some(entry) = entry.filter(|entry| entry.generation == task.generation) else { return Ok(()) };
        let slot = &entry.value;
        if slot.state == TaskState::Ready {
            let is_none = slot.wait_slots.iter().all(|wait_slot| *wait_slot == WaitSlot::NONE);
            return ensure(is_none, "who does not wait is in no wait table");
        }
        self.audit_wait_slots(task.index(), slot)?;
        if slot.deadline == Instant::NEVER {
            return Ok(());
        }
        let timer = self.timers.entries().get(slot.timer as usize).ok_or(Broken("a deadline has a timer"))?;
        ensure(timer.task as usize == task.index(), "a timer knows its task")?;
        ensure(timer.at <= slot.deadline, "a timer comes up no later than the deadline")
    }

    fn audit_counts(&self, seen: &Census) -> Result<(), Broken> {
        ensure(seen.live as usize == self.count(), "every task is counted")?;
        ensure(seen.timed as usize == self.timers.entries().len(), "a slot has one timer at most")?;
        ensure(seen.wait_slots as usize == self.waiters(), "who is in a wait table waits there")?;
        ensure(seen.open_ended == self.open_ended, "waits without an end in sight are counted")?;
        ensure(seen.told == self.cancelling, "who is told to end is counted")
    }

    fn audit_queue(&self, seen: &Census) -> Result<(), Broken> {
        let queue = &self.ready;
        ensure(queue.len == seen.ready, "who is ready is queued, and nobody else")?;
        let mut unseen = seen.fingerprints;
        let mut index = queue.head as usize;
        for _ in 0..queue.len {
            let entry = self.slots().get(index).ok_or(Broken("the queue holds tasks"))?;
            let is_ready = entry.is_live() && entry.value.state == TaskState::Ready;
            ensure(is_ready, "who is queued is ready")?;
            unseen = unseen.wrapping_sub(fingerprint(index));
            index = entry.link as usize;
        }
        // As many were seen as there are: if one was seen twice, another was not seen.
        ensure(unseen == 0, "a task is queued once")
    }

    /// Returns at how many places it waits.
    #[inline]
    fn audit_wait_slots(&self, index: usize, slot: &TaskSlot) -> Result<u32, Broken> {
        let mut count = 0;
        for wait_slot in slot.wait_slots {
            if wait_slot != WaitSlot::NONE {
                count += 1;
                ensure(self.waiter(wait_slot) as usize == index, "who waits is in the table it waits in")?;
            }
        }
        Ok(count)
    }

    fn audit_timers(&self) -> Result<(), Broken> {
        let timers = self.timers.entries();
        for (position, timer) in timers.iter().enumerate() {
            let entry = self.slots().get(timer.task as usize).ok_or(Broken("a timer has a task"))?;
            let slot = &entry.value;
            ensure(slot.timer as usize == position, "a timer knows its task")?;
            let waiting = entry.is_live() && slot.state == TaskState::Waiting;
            ensure(!waiting || timer.at <= slot.deadline, "a timer comes up no later than the deadline")?;
            let above = &timers[position.saturating_sub(1) / 2];
            ensure(above.at <= timer.at, "the first timer is at the top")?;
        }
        Ok(())
    }

    fn slots(&self) -> &[Entry<TaskSlot>] {
        self.tasks.entries()
    }

    /// Who waits at the place.
    fn waiter(&self, wait_slot: WaitSlot) -> u32 {
        let index = wait_slot.index() as usize;
        match wait_slot.table() {
            Table::Job => self.wait_tables.jobs.entries()[index].value.waiter,
            table => self.wait_tables.sources.entries()[index].value.waiters[table as usize],
        }
    }

    /// How many places of all tables are taken.
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

    /// What the place stands for, with the id that its generation makes.
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

/// What is counted over all places of tasks.
#[derive(Default)]
struct Census {
    live: u32,
    ready: u32,
    /// The sum of those of the ready ones.
    fingerprints: u64,
    timed: u32,
    /// Taken in wait tables.
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

/// Sums of these tell sets of equal size apart, without memory for a set.
fn fingerprint(index: usize) -> u64 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[inline]
fn ensure(holds: bool, promise: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(promise)) }
}
