//! Looking inside: a list of all tasks, and a check of the promises.

mod state;

use core::fmt;

use crate::id::{JobId, SourceId, TaskId};
use crate::kernel::{Kernel, TOLD, TaskSlot, TaskState};
use crate::place::{Place, Table};
use crate::slab::{Entry, NONE};
use crate::step::{By, MAX_WAITS, OUTSIDE, Packed, What, Woken};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wait::SourceSlot;

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
    pub waits: [Option<What>; MAX_WAITS],
    /// When its wait ends at the latest.
    pub deadline: Instant,
    /// Who is to end its wait by name.
    pub by: By,
}

impl fmt::Display for TaskView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}: ", self.id)?;
        match self.state {
            TaskState::Ready => return f.write_str("ready to run"),
            TaskState::Waiting => {}
        }
        let mut lead = "waits for ";
        for what in self.waits.iter().flatten() {
            match what {
                What::Recv(source) => write!(f, "{lead}recv on source {source}")?,
                What::Send(source) => write!(f, "{lead}send on source {source}")?,
                What::Hangup(source) => write!(f, "{lead}hangup of source {source}")?,
                What::Job(job) => write!(f, "{lead}job {job}")?,
            }
            lead = " or ";
        }
        match (self.waits[0], self.deadline == Instant::NEVER) {
            (None, true) => match self.by {
                By::Anyone => f.write_str("waits to be woken by name"),
                By::Task(task) => write!(f, "waits for task {task}"),
                By::Outside => f.write_str("waits to be woken from outside"),
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
                waits: slot.places.map(|place| (place != Place::NOWHERE).then(|| self.describe(place))),
                deadline: if slot.state == TaskState::Waiting { slot.deadline } else { Instant::NEVER },
                by: if slot.state == TaskState::Waiting { self.by(slot.by) } else { By::Anyone },
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
    pub fn state_of(&self, task: TaskId) -> Option<TaskState> {
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
    pub fn woken(&self, task: TaskId) -> Option<Woken> {
        Some(self.tasks.get(task.index, task.generation)?.woken)
    }

    /// Whether the job is there.
    #[must_use]
    pub fn has_job(&self, job: JobId) -> bool {
        self.bin.place(Packed::new(What::Job(job))).is_some()
    }

    /// The task that lives now in the place that a wait named is the one, unless that is gone.
    fn by(&self, by: u32) -> By {
        match (by, self.slots().get(by as usize)) {
            (OUTSIDE, _) => By::Outside,
            (_, Some(entry)) if entry.is_live() => By::Task(TaskId::new(by, entry.generation)),
            _ => By::Anyone,
        }
    }

    /// Checks every structure against every other. O(n); for tests and simulators, between any two calls.
    ///
    /// # Errors
    ///
    /// The first promise that does not hold.
    pub fn audit(&self) -> Result<(), Broken> {
        let count = |state| self.slots().iter().filter(|e| e.is_live() && e.value.state == state).count();
        self.audit_queue(count(TaskState::Ready))?;
        ensure(
            self.slots().iter().filter(|entry| entry.is_live()).count() == self.count(),
            "every task is counted",
        )?;
        for (index, entry) in self.slots().iter().enumerate() {
            let waiting = entry.is_live() && entry.value.state == TaskState::Waiting;
            self.audit_places(index, &entry.value, waiting)?;
            self.audit_timer(index, &entry.value, waiting)?;
        }
        let timed = self.slots().iter().filter(|entry| entry.value.timer != NONE).count();
        ensure(timed == self.timers.entries().len(), "a slot has one timer at most")?;
        self.audit_tables()?;
        self.audit_stalled()?;
        self.audit_cancelled()
    }

    fn audit_queue(&self, ready: usize) -> Result<(), Broken> {
        let queue = &self.ready;
        ensure(queue.len as usize == ready, "who is ready is queued, and nobody else")?;
        let is_ready = |entry: &Entry<TaskSlot>| entry.is_live() && entry.value.state == TaskState::Ready;
        let all = self.slots().iter().enumerate().filter(|(_, entry)| is_ready(entry));
        let mut unseen = all.fold(0, |sum: u64, (index, _)| sum.wrapping_add(fingerprint(index)));
        let mut index = queue.head as usize;
        for _ in 0..queue.len {
            let entry = self.slots().get(index).ok_or(Broken("the queue holds tasks"))?;
            ensure(is_ready(entry), "who is queued is ready")?;
            unseen = unseen.wrapping_sub(fingerprint(index));
            index = entry.link as usize;
        }
        // As many were seen as there are: if one was seen twice, another was not seen.
        ensure(unseen == 0, "a task is queued once")
    }

    fn audit_places(&self, index: usize, slot: &TaskSlot, waiting: bool) -> Result<(), Broken> {
        for place in slot.places {
            if place == Place::NOWHERE {
                continue;
            }
            ensure(waiting, "who does not wait is in no wait table")?;
            ensure(self.waiter(place) as usize == index, "who waits is in the table it waits in")?;
        }
        Ok(())
    }

    fn audit_timer(&self, index: usize, slot: &TaskSlot, waiting: bool) -> Result<(), Broken> {
        let timers = self.timers.entries();
        let position = slot.timer;
        if position != NONE {
            let timer = timers.get(position as usize).ok_or(Broken("a timer is in the heap"))?;
            ensure(timer.task as usize == index, "a timer knows its task")?;
            ensure(!waiting || timer.at <= slot.deadline, "a timer comes up no later than the deadline")?;
            if position > 0 {
                let above = timers[(position as usize - 1) / 2];
                ensure(above.at <= timer.at, "the first timer is at the top")?;
            }
        }
        ensure(!waiting || slot.deadline == Instant::NEVER || position != NONE, "a deadline has a timer")
    }

    fn audit_tables(&self) -> Result<(), Broken> {
        let held = self.slots().iter().flat_map(|entry| entry.value.places);
        let places = held.filter(|place| *place != Place::NOWHERE).count();
        ensure(self.waiters() == places, "who is in a wait table waits there")
    }

    fn slots(&self) -> &[Entry<TaskSlot>] {
        self.tasks.entries()
    }

    /// Who waits at the place.
    fn waiter(&self, place: Place) -> u32 {
        let index = place.index() as usize;
        match place.table() {
            Table::Job => self.bin.jobs.entries()[index].value.waiter,
            table => self.bin.sources.entries()[index].value.waiters[table as usize],
        }
    }

    /// How many places of all tables are taken.
    fn waiters(&self) -> usize {
        let sources = self.bin.sources.entries().iter().filter(|entry| entry.is_live());
        let jobs = self.bin.jobs.entries().iter().filter(|entry| entry.is_live());
        let places = sources.flat_map(|entry| entry.value.waiters);
        places.chain(jobs.map(|entry| entry.value.waiter)).filter(|task| *task != NONE).count()
    }

    /// What the place stands for, with the id that its generation makes.
    fn describe(&self, place: Place) -> What {
        let index = place.index();
        let source = |entries: &[Entry<SourceSlot>]| SourceId::new(index, entries[index as usize].generation);
        match place.table() {
            Table::Recv => What::Recv(source(self.bin.sources.entries())),
            Table::Send => What::Send(source(self.bin.sources.entries())),
            Table::Hangup => What::Hangup(source(self.bin.sources.entries())),
            Table::Job => What::Job(JobId::new(index, self.bin.jobs.entries()[index as usize].generation)),
        }
    }

    fn audit_stalled(&self) -> Result<(), Broken> {
        let counted = self.slots().iter().filter(|entry| {
            entry.is_live() && entry.value.state == TaskState::Waiting && entry.value.is_open_ended()
        });
        ensure(counted.count() == self.open_ended as usize, "waits without an end in sight are counted")
    }

    fn audit_cancelled(&self) -> Result<(), Broken> {
        let told = self.slots().iter().filter(|entry| entry.is_live() && entry.value.cancelled & TOLD != 0);
        ensure(told.count() == self.cancelling as usize, "who is told to end is counted")
    }
}

/// Sums of these tell sets of equal size apart, without memory for a set.
fn fingerprint(index: usize) -> u64 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

fn ensure(holds: bool, promise: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(promise)) }
}
