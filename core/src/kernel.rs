//! The kernel: it knows who runs next and who waits for what, and nothing else.

pub(crate) mod audit;
pub(crate) mod error;
pub(crate) mod id;
#[cfg(feature = "alloc")]
pub(crate) mod id_map;
pub(crate) mod instant;
pub(crate) mod interest;
pub(crate) mod queue;
pub(crate) mod slab;
pub(crate) mod step;
pub(crate) mod storage;
pub(crate) mod task_slot;
pub(crate) mod timers;
pub(crate) mod wait_slot;
pub(crate) mod wait_tables;

#[cfg(feature = "alloc")]
use core::time::Duration;

use crate::kernel::error::Full;
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::interest::{Interest, Readiness};
use crate::kernel::queue::RunQueue;
use crate::kernel::slab::{Entry, NONE, Slab};
use crate::kernel::step::{MAX_WAITS, Step, Wait, WaitKey, WaitTarget, WakeReason};
use crate::kernel::storage::Storage;
use crate::kernel::task_slot::{ASKED, EVER, TOLD, TaskSlot, TaskState, Tasks};
use crate::kernel::timers::{Timer, Timers};
use crate::kernel::wait_slot::WaitSlot;
use crate::kernel::wait_tables::WaitTables;

/// What there is to do when a turn is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Tasks are ready, or a deadline has come: look at the sources without waiting, and run the next turn.
    Ready,
    /// Wait until something is ready, or until this moment at the latest. It is later than the beginning of the turn, and
    /// can be early, never late; [`Instant::NEVER`] if no wait has a deadline. The clock may have passed it already: then
    /// look at the sources without waiting.
    Until(Instant),
    /// All tasks wait to be named by another: nothing can wake them (promise 8). [`Kernel::tasks`] lists them.
    Stalled,
    /// No task is left.
    Empty,
}

/// Scheduler, wait tables and timers of one thread, in storage of the caller's.
///
/// A host calls it in the round that [the crate's page](crate) shows. All is O(1), but what moves a timer: O(log n).
pub struct Kernel<S: Storage> {
    pub(crate) tasks: Tasks<S::Tasks<Entry<TaskSlot>>>,
    pub(crate) ready: RunQueue,
    pub(crate) wait_tables: WaitTables<S>,
    pub(crate) timers: Timers<S::Tasks<Timer>>,
    pub(crate) now: Instant,
    /// When the last turn began that was preceded by a look at the sources. Another look follows it.
    pub(crate) looked: Instant,
    /// All that happened before this moment is known: waits with a deadline up to here are over.
    pub(crate) seen: Instant,
    /// The value of `seen` before the last look at the sources.
    pub(crate) seen_before: Instant,
    /// The last task that this turn runs; [`NONE`] when it is over. Whoever is queued now is behind it.
    pub(crate) last: u32,
    /// Waits that only another task can end.
    pub(crate) open_ended: u32,
    /// Waits with a deadline, ever.
    pub(crate) deadlines: u32,
    /// Tasks that are cancelled and are to be told so yet, or are told in the present step.
    pub(crate) cancelling: u32,
    /// Whether all tasks are being ended, and how far that is.
    pub(crate) end: End,
}

/// The fate of tasks that are spawned by tasks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum End {
    /// New tasks run.
    Open,
    /// New tasks are cancelled at once: [`Kernel::cancel_all`].
    Cancelled,
    /// New tasks are refused: [`Kernel::end_all`].
    Closed,
}

impl<S: Storage> Kernel<S> {
    /// A kernel without tasks, as large as `storage` says.
    #[must_use]
    pub fn new(storage: &S) -> Self {
        Self {
            tasks: Slab::new(storage.tasks()),
            ready: RunQueue::new(),
            wait_tables: WaitTables::new(storage),
            timers: Timers::new(storage.tasks()),
            now: Instant::ZERO,
            looked: Instant::ZERO,
            seen: Instant::ZERO,
            seen_before: Instant::ZERO,
            last: NONE,
            open_ended: 0,
            deadlines: 0,
            cancelling: 0,
            end: End::Open,
        }
    }

    /// Begins a turn at `now`, after a look at all sources: what was found has been told to [`ready`](Self::ready), and
    /// each task that is ready gets one step before [`next`](Self::next) says that the turn is over. A `now` in the past
    /// counts as the last one.
    ///
    /// A wait ends by its deadline in the first turn that is preceded by a look which began after the deadline
    /// (promise 10). The look before this turn began after the last call of this function. So a deadline that has come
    /// since is not over yet: [`rest`](Self::rest) asks for another look, and the next call ends the wait, unless the
    /// look has ended it otherwise.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        self.seen_before = self.seen;
        self.seen = self.looked;
        self.now = self.now.max(now);
        self.looked = self.now;
        self.begin_turn();
    }

    /// Begins a turn at `now` without a look, or after one that was not complete: no wait ends by its deadline.
    #[inline]
    pub fn advance_unpolled(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.begin_turn();
    }

    #[inline]
    fn begin_turn(&mut self) {
        while let Some(first) = self.timers.first() {
            if first.at > self.now || !self.timer_is_up(first) {
                break;
            }
        }
        self.last = if self.ready.len > 0 { self.ready.tail } else { NONE };
    }

    /// Says that the turn before took `span`, where nobody could tell that while it ran: the waits that began in it end so
    /// much later, since what was asked for there counts from its end at the latest. O(tasks).
    #[cfg(feature = "alloc")]
    pub(crate) fn turn_took(&mut self, span: Duration) {
        let now = self.now;
        for slot in self.tasks.live_values() {
            let began_then = slot.state == TaskState::Waiting && slot.since == now;
            if began_then && slot.deadline > now && slot.deadline != Instant::NEVER {
                // A timer that is early is corrected when it comes up.
                slot.deadline = (slot.deadline + span).min(Instant::LAST);
            }
        }
    }

    /// Returns the moment up to which everything that happened has been told: deadlines up to here are over. A host that
    /// keeps deadlines of its own compares them with this moment and not with the clock, so that promise 10 holds for
    /// them too.
    #[must_use]
    pub fn seen(&self) -> Instant {
        self.seen
    }

    /// Returns the moment up to which deadlines are over for the task that runs. A task whose wait was ended by something
    /// else first learns of that, and of its deadline one look later.
    pub(crate) fn seen_by_running(&mut self) -> Instant {
        match self.head().1 {
            WakeReason::TimedOut | WakeReason::Yielded | WakeReason::Spawned => self.seen,
            _ => self.seen_before,
        }
    }

    /// The moment that this turn began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The oldest ready task; `None` when the turn is over. The caller runs it and gives its answer to
    /// [`park`](Self::park); until then it stays the next.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator would hold the kernel borrowed")]
    pub fn next(&mut self) -> Option<TaskId> {
        if self.last == NONE { None } else { Some(self.head().0) }
    }

    /// Puts the task that [`next`](Self::next) named where its step says: into the bin, to the end of the
    /// queue, or out. Any other id does nothing.
    #[inline]
    pub fn park(&mut self, task: TaskId, step: Step) {
        if self.next() != Some(task) {
            return;
        }
        match step {
            Step::Yield => self.requeue(task.index),
            Step::Wait(wait) => self.park_head(&wait),
            Step::Done | Step::Fail(_) => self.remove_head(),
        }
        self.end_step(task.index);
    }

    /// The task at the head of the queue, unless the turn is over.
    #[inline]
    pub(crate) fn begin_step(&self) -> Option<u32> {
        (self.last != NONE).then_some(self.ready.head)
    }

    /// The task, which was at the head, is parked. Whose step is next, if anybody's.
    #[inline]
    pub(crate) fn end_step(&mut self, head: u32) -> Option<u32> {
        if head == self.last {
            self.last = NONE;
            return None;
        }
        Some(self.ready.head)
    }

    /// The task at the head of the queue, which must not be empty, and why it runs.
    #[inline]
    pub(crate) fn head(&mut self) -> (TaskId, WakeReason) {
        let index = self.ready.head;
        let entry = self.tasks.at(index);
        (TaskId::new(index, entry.generation), entry.value.wake_reason)
    }

    /// Parks the task at the `head` of the queue, which yields.
    #[inline]
    pub(crate) fn requeue(&mut self, head: u32) {
        let entry = self.tasks.at(head);
        if !entry.value.is_to_be_told() {
            entry.value.wake_reason = WakeReason::Yielded;
            self.ready.rotate(head, entry.link);
        } else {
            self.requeue_cancelled(head);
        }
    }

    #[cold]
    fn requeue_cancelled(&mut self, head: u32) {
        if !self.is_cancelled_again() {
            return self.requeue(head);
        }
        self.ready.pop(&mut self.tasks);
        self.make_ready(head, WakeReason::Cancelled);
    }

    /// The step of the task at the head is over. Whether it was cancelled in it.
    fn is_cancelled_again(&mut self) -> bool {
        let cancelled = &mut self.tasks.at(self.ready.head).value.cancelled;
        self.cancelling -= u32::from(*cancelled & (ASKED | TOLD) == TOLD);
        *cancelled &= !TOLD;
        *cancelled & ASKED != 0
    }

    /// Returns true if the task at the head is cancelled and to be told so.
    pub(crate) fn is_head_to_be_told(&mut self) -> bool {
        self.tasks.at(self.ready.head).value.is_to_be_told()
    }

    /// Returns true if the task at the head is to be told that it is cancelled. This step does so, before the kernel
    /// does.
    pub(crate) fn take_cancel(&mut self) -> bool {
        let slot = &mut self.tasks.at(self.ready.head).value;
        let is_to_be_told = slot.is_to_be_told();
        if is_to_be_told {
            slot.cancelled = TOLD | EVER;
        }
        is_to_be_told
    }

    /// The same for one that waits. A wait that has ended before it began puts it back on the queue.
    pub(crate) fn park_head(&mut self, wait: &Wait) {
        let index = self.ready.head;
        self.is_cancelled_again();
        self.ready.pop(&mut self.tasks);
        match self.enter_all(index, wait) {
            Ok(()) => self.begin_wait(index, wait),
            Err(wake_reason) => {
                self.leave_all(index);
                self.make_ready(index, wake_reason);
            }
        }
    }

    /// Takes the task that runs, and is over, off the queue and out of the table.
    pub(crate) fn remove_head(&mut self) {
        let index = self.ready.head;
        // A task that is over can't be told any more.
        self.cancelling -= u32::from(self.is_cancelled_again());
        self.ready.pop(&mut self.tasks);
        self.tasks.remove(index);
    }

    /// What there is to do until the next turn.
    #[must_use]
    pub fn rest(&self) -> Rest {
        if self.has_ready() {
            Rest::Ready
        } else if self.tasks.live() == 0 {
            Rest::Empty
        } else if self.open_ended == self.tasks.live() {
            Rest::Stalled
        } else if self.has_due() {
            Rest::Ready
        } else {
            Rest::Until(self.timers.first().map_or(Instant::NEVER, |first| first.at))
        }
    }

    /// Returns true if a timer has come that needs another look at the sources before its wait can end.
    #[must_use]
    #[inline]
    pub fn has_due(&self) -> bool {
        self.timers.first().is_some_and(|first| first.at <= self.now)
    }

    /// Returns true if a task can run in a turn without another look at the sources.
    #[must_use]
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.ready.len > 0
    }

    /// A new task, at the end of the run queue; [`Full`] when the storage has no place for another.
    pub fn spawn(&mut self) -> Result<TaskId, Full> {
        let now = self.now;
        let fresh = TaskSlot::new(now, NONE);
        let (index, generation) = self.tasks.insert(fresh, |old| *old = TaskSlot::new(now, old.timer))?;
        self.ready.push(&mut self.tasks, index);
        Ok(TaskId::new(index, generation))
    }

    /// Ends the task's wait, or its next one if it is not waiting. Whether there is such a task.
    pub fn wake(&mut self, task: TaskId) -> bool {
        let Some(slot) = self.tasks.get_mut(task.index, task.generation) else {
            return false;
        };
        if slot.state == TaskState::Waiting {
            self.end_wait(task.index, WakeReason::Named);
        } else {
            slot.named = true;
        }
        true
    }

    /// Cancels the task: takes it out of the bin at once and lets it run, told [`WakeReason::Cancelled`], so that
    /// it can clean up and end. A task that is ready is told so after its next step, unless that was its last. Returns
    /// true if there is such a task.
    ///
    /// Cancelling a task again tells it again, which ends an `async fn` where it stands. Where tasks cancel each other,
    /// [`cancel_once`](Self::cancel_once) is used.
    pub fn cancel(&mut self, task: TaskId) -> bool {
        let Some(slot) = self.tasks.get_mut(task.index, task.generation) else {
            return false;
        };
        match slot.state {
            TaskState::Waiting => self.end_wait(task.index, WakeReason::Cancelled),
            TaskState::Ready => {
                self.cancelling += u32::from(!slot.is_to_be_told());
                slot.cancelled |= ASKED | EVER;
            }
        }
        true
    }

    /// [`cancel`](Self::cancel)s the task, unless it was before. Returns true if there is such a task.
    pub fn cancel_once(&mut self, task: TaskId) -> bool {
        match self.tasks.get_mut(task.index, task.generation) {
            Some(slot) if slot.cancelled & EVER == 0 => self.cancel(task),
            slot => slot.is_some(),
        }
    }

    /// Cancels every task, as [`cancel_once`](Self::cancel_once) does, and each that a task spawns from here on. O(n).
    pub fn cancel_all(&mut self) {
        self.end = self.end.max(End::Cancelled);
        self.for_each(Self::cancel_once);
    }

    /// Cancels every task, as [`cancel`](Self::cancel) does, also those that were cancelled before; from here on tasks
    /// spawn none. A host that can wait no longer calls this before each turn, until no task is left. O(n).
    pub fn end_all(&mut self) {
        self.end = End::Closed;
        self.for_each(Self::cancel);
    }

    fn for_each(&mut self, act: impl Fn(&mut Self, TaskId) -> bool) {
        let mut index = 0;
        while let Some(entry) = self.tasks.entries().get(index as usize) {
            if entry.is_live() {
                act(self, TaskId::new(index, entry.generation));
            }
            index += 1;
        }
    }

    /// A new source, for which nobody waits yet; [`Full`] when the storage has no place for another.
    pub fn open(&mut self) -> Result<SourceId, Full> {
        self.wait_tables.open()
    }

    /// Whether the source is there.
    #[must_use]
    pub fn is_open(&self, source: SourceId) -> bool {
        self.wait_tables.wait_slot(WaitKey::new(WaitTarget::Recv(source))).is_some()
    }

    /// Closes the source: whoever waits for it runs, told [`WakeReason::Closed`] (promise 6). Whether there was
    /// such a source.
    pub fn close(&mut self, source: SourceId) -> bool {
        self.wake_all(source, WakeReason::Closed);
        let is_open = self.is_open(source);
        if is_open {
            self.wait_tables.sources.remove(source.index);
        }
        is_open
    }

    /// The host says what `source` is ready for: whoever waits for that runs. Hangup ends every wait for
    /// the source. A source that is gone does nothing.
    ///
    /// Readiness is level-triggered: what nobody waits for is not kept. If the host watched for it, it is
    /// told to stop by [`next_change`](Self::next_change), so that it does not report it over and over.
    #[inline]
    pub fn ready(&mut self, source: SourceId, readiness: Readiness) {
        if readiness.contains(Interest::HANGUP) {
            if !self.wake_all(source, WakeReason::Hangup) {
                self.wait_tables.mark_unwatched(WaitTarget::Hangup(source));
            }
            return;
        }
        let (recv, send) = (WaitTarget::Recv(source), WaitTarget::Send(source));
        if readiness.contains(Interest::RECV) && !self.wake_waiter(recv, WakeReason::Ready) {
            self.wait_tables.mark_unwatched(recv);
        }
        if readiness.contains(Interest::SEND) && !self.wake_waiter(send, WakeReason::Ready) {
            self.wait_tables.mark_unwatched(send);
        }
    }

    /// The next source that the host should watch for something else than before, and for what; nothing
    /// at all means that it need not be watched. The host asks until there is none left, before it waits.
    pub fn next_change(&mut self) -> Option<(SourceId, Interest)> {
        self.wait_tables.next_change()
    }

    /// A new job; [`Full`] when the storage has no place for another.
    pub fn begin_job(&mut self) -> Result<JobId, Full> {
        self.wait_tables.begin()
    }

    /// The host says that the job is done: whoever waits for it, now or later, runs. A job that is gone
    /// does nothing.
    pub fn job_done(&mut self, job: JobId) {
        self.wake_waiter(WaitTarget::Job(job), WakeReason::Ready);
        if let Some(slot) = self.wait_tables.jobs.get_mut(job.index, job.generation) {
            slot.done = true;
        }
    }

    /// Forgets the job: whoever waits for it runs, told [`WakeReason::Closed`]. Whether there was such a job.
    pub fn end_job(&mut self, job: JobId) -> bool {
        self.wake_waiter(WaitTarget::Job(job), WakeReason::Closed);
        let is_there = self.wait_tables.wait_slot(WaitKey::new(WaitTarget::Job(job))).is_some();
        if is_there {
            self.wait_tables.jobs.remove(job.index);
        }
        is_there
    }

    /// Ends the wait whose timer comes up first, or corrects a timer that is early. Returns false if the wait must not end
    /// before another look at the sources.
    #[cold]
    fn timer_is_up(&mut self, first: Timer) -> bool {
        let entry = self.tasks.at(first.task);
        let slot = &entry.value;
        let current = Timer { at: slot.deadline, order: slot.order, task: first.task };
        let waits = entry.is_live() && slot.state == TaskState::Waiting;
        if !waits || slot.deadline == Instant::NEVER {
            self.timers.remove_first(&mut self.tasks);
        } else if current != first {
            self.timers.postpone_first(current, &mut self.tasks);
        } else if first.at > self.seen {
            return false;
        } else {
            self.timers.remove_first(&mut self.tasks);
            self.end_wait(first.task, WakeReason::TimedOut);
        }
        true
    }

    /// Ends every wait for the source. Whether there was one.
    fn wake_all(&mut self, source: SourceId, wake_reason: WakeReason) -> bool {
        let waits = [WaitTarget::Recv(source), WaitTarget::Send(source), WaitTarget::Hangup(source)];
        waits.into_iter().fold(false, |any, target| self.wake_waiter(target, wake_reason) | any)
    }

    #[inline]
    fn wake_waiter(&mut self, target: WaitTarget, wake_reason: WakeReason) -> bool {
        let Some(wait_slot) = self.wait_tables.wait_slot(WaitKey::new(target)) else { return false };
        let task = *self.wait_tables.waiter(wait_slot);
        if task != NONE {
            self.tasks.at(task).value.by = wait_slot.0;
            self.end_wait(task, wake_reason);
        }
        task != NONE
    }

    /// Queues a task that is neither queued nor in the bin any more.
    fn make_ready(&mut self, index: u32, wake_reason: WakeReason) {
        let slot = &mut self.tasks.at(index).value;
        (slot.state, slot.since, slot.wake_reason) = (TaskState::Ready, self.now, wake_reason);
        if wake_reason == WakeReason::Cancelled {
            self.cancelling += u32::from(!slot.is_to_be_told());
            slot.cancelled = TOLD | EVER;
        }
        self.ready.push(&mut self.tasks, index);
    }

    fn enter_all(&mut self, index: u32, wait: &Wait) -> Result<(), WakeReason> {
        let slot = &mut self.tasks.at(index).value;
        if slot.is_to_be_told() {
            return Err(WakeReason::Cancelled);
        }
        if core::mem::take(&mut slot.named) {
            return Err(WakeReason::Named);
        }
        for (number, target) in wait.targets.into_iter().enumerate() {
            if target.wait_slot.is_none() {
                break;
            }
            self.tasks.at(index).value.by = target.wait_slot.0;
            self.tasks.at(index).value.wait_slots[number] = self.wait_tables.enter(index, target)?;
        }
        Ok(())
    }

    fn begin_wait(&mut self, index: u32, &Wait { deadline, by, .. }: &Wait) {
        let slot = &mut self.tasks.at(index).value;
        (slot.state, slot.since, slot.by) = (TaskState::Waiting, self.now, by);
        let last = core::mem::replace(&mut slot.deadline, deadline);
        if deadline != Instant::NEVER {
            slot.order = self.deadlines;
            self.deadlines = self.deadlines.wrapping_add(1);
            // A timer that was early enough for the last deadline is so for a later one.
            if slot.timer == NONE || deadline < last || last == Instant::NEVER {
                let timer = Timer { at: deadline, order: slot.order, task: index };
                self.timers.at_latest(timer, &mut self.tasks);
            }
        } else if slot.is_open_ended() {
            self.open_ended += 1;
        }
    }

    /// Ends a wait, whatever else it was for.
    fn end_wait(&mut self, index: u32, wake_reason: WakeReason) {
        let slot = &self.tasks.at(index).value;
        debug_assert!(slot.state == TaskState::Waiting, "who leaves the bin was in it");
        if slot.is_open_ended() {
            self.open_ended -= 1;
        }
        self.leave_all(index);
        self.make_ready(index, wake_reason);
    }

    fn leave_all(&mut self, index: u32) {
        for number in 0..MAX_WAITS {
            let wait_slot =
                core::mem::replace(&mut self.tasks.at(index).value.wait_slots[number], WaitSlot::NONE);
            if wait_slot.is_none() {
                break;
            }
            *self.wait_tables.waiter(wait_slot) = NONE;
        }
    }
}
