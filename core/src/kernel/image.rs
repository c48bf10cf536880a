//! The tables of a kernel in another process: their layout in words, and how to make sense of a copy of them.
//!
//! The copy may come from a process that is broken or hostile, so every number is checked before it is used.

use alloc::vec::Vec;
use core::mem::{offset_of, size_of};

use crate::kernel::audit::{Broken, TaskView};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::interest::Interest;
use crate::kernel::queue::RunQueue;
use crate::kernel::slab::{Entry, NONE, Slab};
use crate::kernel::step::{ExpectedWaker, MAX_WAITS, OUTSIDE, WaitTarget, WakeReason};
use crate::kernel::storage::{Limits, Slots, Storage};
use crate::kernel::task_slot::{TaskSlot, TaskState};
use crate::kernel::timers::{Timer, Timers};
use crate::kernel::wait_slot::{Table, WaitSlot};
use crate::kernel::wait_tables::{JobSlot, SourceSlot};
use crate::kernel::{End, Kernel};

/// The version of the layout: it changes with each change of a row.
pub const LAYOUT: u32 = 1;

/// The number of 32-bit words of a row of the table of tasks.
pub const TASK_WORDS: usize = 14;
/// The number of 32-bit words of a row of the table of sources.
pub const SOURCE_WORDS: usize = 7;
/// The number of 32-bit words of a row of the table of jobs.
pub const JOB_WORDS: usize = 4;
/// The number of 32-bit words of a timer.
pub const TIMER_WORDS: usize = 4;

const _: () = {
    assert!(size_of::<Entry<TaskSlot>>() == 4 * TASK_WORDS && offset_of!(Entry<TaskSlot>, value) == 8);
    assert!(size_of::<Entry<SourceSlot>>() == 4 * SOURCE_WORDS && offset_of!(Entry<SourceSlot>, value) == 8);
    assert!(size_of::<Entry<JobSlot>>() == 4 * JOB_WORDS && offset_of!(Entry<JobSlot>, value) == 8);
    assert!(size_of::<Timer>() == 4 * TIMER_WORDS && offset_of!(Timer, task) == 12);
    assert!(offset_of!(TaskSlot, deadline) == 16 && offset_of!(TaskSlot, since) == 24);
    assert!(offset_of!(TaskSlot, order) == 32 && offset_of!(TaskSlot, by) == 36);
    assert!(offset_of!(TaskSlot, timer) == 40 && offset_of!(TaskSlot, state) == 44);
    assert!(offset_of!(SourceSlot, changed) == 16 && offset_of!(JobSlot, done) == 4);
};

/// A copy of the tables of a kernel, in words of the machine that made it.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The rows of tasks, [`TASK_WORDS`] each.
    pub tasks: &'a [u32],
    /// The rows of sources, [`SOURCE_WORDS`] each.
    pub sources: &'a [u32],
    /// The rows of jobs, [`JOB_WORDS`] each.
    pub jobs: &'a [u32],
    /// The timers, [`TIMER_WORDS`] each, followed by unused ones.
    pub timers: &'a [u32],
    /// The index of the oldest task in the run queue.
    pub head: u32,
    /// The time of the last turn.
    pub now: Instant,
}

/// The tables of a kernel of this process, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    tasks: Vec<u32>,
    sources: Vec<u32>,
    jobs: Vec<u32>,
    timers: Vec<u32>,
    head: u32,
    now: Instant,
}

impl Tables {
    /// Returns the tables as an image.
    #[must_use]
    pub fn image(&self) -> Image<'_> {
        let Self { tasks, sources, jobs, timers, head, now } = self;
        Image { tasks, sources, jobs, timers, head: *head, now: *now }
    }
}

impl<S: Storage> Kernel<S> {
    /// Copies the tables into words, as they are in memory, for hosts whose memory no other process can read. O(n).
    #[must_use]
    pub fn tables(&self) -> Tables {
        let (tasks, wait_tables) = (self.tasks.entries(), &self.wait_tables);
        Tables {
            tasks: tasks.iter().flat_map(task_words).collect(),
            sources: wait_tables.sources.entries().iter().flat_map(source_words).collect(),
            jobs: wait_tables.jobs.entries().iter().flat_map(job_words).collect(),
            timers: self.timers.entries().iter().flat_map(timer_words).collect(),
            head: self.ready.head,
            now: self.now,
        }
    }
}

/// The tables that the row of a task refers to.
pub trait Rows {
    /// Returns the row of a source, if the table is that long.
    fn source(&self, index: u32) -> Option<[u32; SOURCE_WORDS]>;
    /// Returns the row of a job, if the table is that long.
    fn job(&self, index: u32) -> Option<[u32; JOB_WORDS]>;
    /// Returns the generation of a task's row, if the table is that long.
    fn generation(&self, task: u32) -> Option<u32>;
}

/// Decodes one row of the table of tasks, which is consistent with `rows`. Returns `None` if the row is free. O(1).
///
/// # Errors
///
/// Returns [`Broken`] if the row is not one that a kernel writes, or if the wait tables do not agree with it.
pub fn view(index: u32, row: &[u32; TASK_WORDS], rows: &impl Rows) -> Result<Option<TaskView>, Broken> {
    let entry = task(row)?;
    if !entry.is_live() {
        return Ok(None);
    }
    let slot = &entry.value;
    let mut waits = [None; MAX_WAITS];
    for (wait, wait_slot) in waits.iter_mut().zip(slot.wait_slots) {
        if wait_slot != WaitSlot::NONE {
            ensure(slot.state == TaskState::Waiting, "a task that does not wait is in no wait table")?;
            *wait = Some(target(index, wait_slot, rows)?);
        }
    }
    let by = match slot.by {
        OUTSIDE => ExpectedWaker::Outside,
        by => match rows.generation(by) {
            Some(generation) if generation & 1 == 1 => ExpectedWaker::Task(TaskId::new(by, generation)),
            _ => ExpectedWaker::Anyone,
        },
    };
    Ok(Some(TaskView::of(TaskId::new(index, entry.generation), slot, waits, by)))
}

/// Returns the target that the slot stands for, if `task` waits there.
fn target(task: u32, wait_slot: WaitSlot, rows: &impl Rows) -> Result<WaitTarget, Broken> {
    let gone = Broken("a wait refers to a slot of its table");
    let index = wait_slot.index();
    let (generation, waiter) = match wait_slot.table() {
        Table::Job => {
            let row = rows.job(index).ok_or(gone)?;
            (row[0], row[2])
        }
        table => {
            let row = rows.source(index).ok_or(gone)?;
            (row[0], row[2 + table as usize])
        }
    };
    ensure(waiter == task, "a waiting task is in its wait tables")?;
    let source = SourceId::new(index, generation);
    Ok(match wait_slot.table() {
        Table::Recv => WaitTarget::Recv(source),
        Table::Send => WaitTarget::Send(source),
        Table::Hangup => WaitTarget::Hangup(source),
        Table::Job => WaitTarget::Job(JobId::new(index, generation)),
    })
}

impl Kernel<Limits> {
    /// Creates a kernel with the tables of an image, for reports: [`tasks`](Self::tasks), [`queue`](Self::queue) and
    /// [`audit`](Self::audit). What the image lacks is derived from the tables. O(n).
    ///
    /// # Errors
    ///
    /// Returns [`Broken`] if a row is not one that a kernel writes. An image that was torn is found by this function or
    /// by the audit.
    pub fn restore(image: &Image<'_>) -> Result<Self, Broken> {
        let limit = (image.tasks.len() / TASK_WORDS).max(image.sources.len() / SOURCE_WORDS);
        let limits = Limits::new(limit, 0, 0).with_jobs(image.jobs.len() / JOB_WORDS);
        let mut kernel = Self::new(&limits);
        let tasks = fill(Storage::tasks(&limits), image.tasks, task)?;
        let timed = count(tasks.items(), |entry| entry.value.timer != NONE);
        kernel.timers = Timers::restored(fill(Storage::tasks(&limits), image.timers, timer)?, timed);
        kernel.wait_tables.sources = Slab::restored(fill(Storage::sources(&limits), image.sources, source)?);
        kernel.wait_tables.jobs = Slab::restored(fill(limits.jobs(), image.jobs, job)?);
        let live = |state| move |entry: &Entry<TaskSlot>| entry.is_live() && entry.value.state == state;
        let len = count(tasks.items(), live(TaskState::Ready));
        let waiting = live(TaskState::Waiting);
        kernel.open_ended = count(tasks.items(), |entry| waiting(entry) && entry.value.is_open_ended());
        kernel.cancelling = count(tasks.items(), |entry| entry.is_live() && entry.value.is_to_be_told());
        kernel.tasks = Slab::restored(tasks);
        kernel.ready = RunQueue { head: image.head, tail: NONE, len };
        (kernel.now, kernel.looked, kernel.end) = (image.now, image.now, End::Closed);
        kernel.check_indexes(image.timers.len() / TIMER_WORDS)?;
        Ok(kernel)
    }

    /// Checks the numbers that the audit and the reports use as indexes.
    fn check_indexes(&self, timers: usize) -> Result<(), Broken> {
        let (sources, jobs) =
            (self.wait_tables.sources.entries().len(), self.wait_tables.jobs.entries().len());
        for entry in self.tasks.entries() {
            for wait_slot in entry.value.wait_slots {
                let len = if wait_slot.table() == Table::Job { jobs } else { sources };
                let is_within = wait_slot.is_none() || (wait_slot.index() as usize) < len;
                ensure(is_within, "a wait refers to a slot of its table")?;
            }
        }
        let timed = count(self.tasks.entries(), |entry| entry.value.timer != NONE);
        ensure(timed as usize <= timers, "each timer is in the heap")
    }
}

/// Fills an empty table with the decoded rows.
fn fill<T, const WORDS: usize, V: Slots<T>>(
    mut table: V,
    words: &[u32],
    decode: impl Fn(&[u32; WORDS]) -> Result<T, Broken>,
) -> Result<V, Broken> {
    for row in words.chunks_exact(WORDS) {
        let row = row.try_into().map_err(|_| Broken("a row is complete"))?;
        table.push(decode(row)?).map_err(|_| Broken("the table has capacity for its rows"))?;
    }
    Ok(table)
}

fn count<T>(items: &[T], counts: impl Fn(&T) -> bool) -> u32 {
    u32::try_from(items.iter().filter(|item| counts(item)).count()).unwrap_or(NONE)
}

fn task(row: &[u32; TASK_WORDS]) -> Result<Entry<TaskSlot>, Broken> {
    let [generation, link, a, b, c, d, deadline, deadline2, since, since2, order, by, timer, flags] = *row;
    let [state, wake_reason, named, cancelled] = flags.to_ne_bytes();
    let value = TaskSlot {
        wait_slots: [a, b, c, d].map(WaitSlot),
        deadline: instant(deadline, deadline2),
        since: instant(since, since2),
        order,
        by,
        timer,
        state: match state {
            0 => TaskState::Ready,
            1 => TaskState::Waiting,
            _ => return Err(Broken("a task is in one of its states")),
        },
        wake_reason: *REASONS.get(usize::from(wake_reason)).ok_or(Broken("a task has a reason to run"))?,
        named: named != 0,
        cancelled,
    };
    Ok(Entry { generation, link, value })
}

fn task_words(entry: &Entry<TaskSlot>) -> [u32; TASK_WORDS] {
    let slot = &entry.value;
    let [[deadline, deadline2], [since, since2]] = [slot.deadline, slot.since].map(halves);
    let [a, b, c, d] = slot.wait_slots.map(|wait_slot| wait_slot.0);
    let bytes = [slot.state as u8, slot.wake_reason as u8, u8::from(slot.named), slot.cancelled];
    let flags = u32::from_ne_bytes(bytes);
    let (order, by, timer) = (slot.order, slot.by, slot.timer);
    [entry.generation, entry.link, a, b, c, d, deadline, deadline2, since, since2, order, by, timer, flags]
}

fn source_words(entry: &Entry<SourceSlot>) -> [u32; SOURCE_WORDS] {
    let slot = &entry.value;
    let [a, b, c] = slot.waiters;
    let flags = u32::from_ne_bytes([u8::from(slot.changed), slot.watched.bits(), 0, 0]);
    [entry.generation, entry.link, a, b, c, slot.next, flags]
}

fn job_words(entry: &Entry<JobSlot>) -> [u32; JOB_WORDS] {
    let flags = u32::from_ne_bytes([u8::from(entry.value.done), 0, 0, 0]);
    [entry.generation, entry.link, entry.value.waiter, flags]
}

fn timer_words(timer: &Timer) -> [u32; TIMER_WORDS] {
    let [at, at2] = halves(timer.at);
    [at, at2, timer.order, timer.task]
}

/// Returns a moment in two words, in the order of the machine.
fn halves(instant: Instant) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = instant.as_nanos().to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

/// The reasons in the order of their numbers.
const REASONS: [WakeReason; 9] = [
    WakeReason::Spawned,
    WakeReason::Yielded,
    WakeReason::Ready,
    WakeReason::Hangup,
    WakeReason::Named,
    WakeReason::TimedOut,
    WakeReason::Closed,
    WakeReason::Busy,
    WakeReason::Cancelled,
];

const _: () = {
    let mut number = 0;
    while number < REASONS.len() {
        assert!(REASONS[number] as usize == number, "the list is in the order of the numbers");
        number += 1;
    }
    assert!(TaskState::Ready as u8 == 0 && TaskState::Waiting as u8 == 1);
};

#[expect(clippy::unnecessary_wraps, reason = "each row is decoded in the same way")]
fn source(row: &[u32; SOURCE_WORDS]) -> Result<Entry<SourceSlot>, Broken> {
    let [generation, link, a, b, c, next, flags] = *row;
    let [changed, watched, ..] = flags.to_ne_bytes();
    let value =
        SourceSlot { waiters: [a, b, c], next, changed: changed != 0, watched: Interest::from_bits(watched) };
    Ok(Entry { generation, link, value })
}

#[expect(clippy::unnecessary_wraps, reason = "each row is decoded in the same way")]
fn job(row: &[u32; JOB_WORDS]) -> Result<Entry<JobSlot>, Broken> {
    let [generation, link, waiter, flags] = *row;
    let [done, ..] = flags.to_ne_bytes();
    Ok(Entry { generation, link, value: JobSlot { waiter, done: done != 0 } })
}

#[expect(clippy::unnecessary_wraps, reason = "each row is decoded in the same way")]
fn timer(row: &[u32; TIMER_WORDS]) -> Result<Timer, Broken> {
    let [at, at2, order, task] = *row;
    Ok(Timer { at: instant(at, at2), order, task })
}

/// Returns the moment in two words, in the order of the machine.
fn instant(first: u32, second: u32) -> Instant {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    Instant::from_nanos(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
}

fn ensure(holds: bool, promise: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(promise)) }
}
