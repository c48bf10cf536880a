//! The kernel: decides which task runs next and records what each task waits for, and does nothing else.
//!
//! The life of a task:
//!
//! ```text
//!   spawn                  next                     park(Done or Fail)
//! --------> READY ----------------------> RUNNING ----------------------> GONE
//!           ^ ^ ^                           | |                           done, failed
//!           | | +------- park(Yield) -------+ |                           or cancelled
//!           | |                               | park(Wait)
//!           | +-- the wait has ended already -+
//!           |                                 v
//!           +----------------------------- WAITING
//!             ready       a source became ready, or hung up
//!             close       a source was closed
//!             job_done    a job is done
//!             end_job     a job was removed
//!             advance     the deadline expired
//!             wake        another task or the host woke the task
//!             cancel      the task was cancelled
//! ```
//!
//! * READY and RUNNING are both [`TaskState::Ready`]: a task that runs stays at the head of the run queue until `park`.
//! * WAITING is [`TaskState::Waiting`]: the task is in up to [`MAX_WAITS`] wait tables, and may have a timer. Each
//!   arrow back to READY removes it from all of these tables. Its timer may stay in the heap, where it has no effect.
//! * The wait has ended already if a `wake` or a `cancel` came while the task did not wait, if its job is done, if its
//!   source or job is gone, or if another task waits for the same event. [`WakeReason`] tells the task which.
//! * `cancel` ends no task by itself. A waiting task becomes ready with [`WakeReason::Cancelled`]. A ready task completes
//!   its current or next step, and then becomes ready with [`WakeReason::Cancelled`]. The task ends when it returns `Done`
//!   or `Fail`.
//! * GONE means that the slot is free and that the task's id no longer has any effect.

pub(crate) mod audit;
pub(crate) mod beacon;
pub(crate) mod error;
pub(crate) mod id;
#[cfg(feature = "alloc")]
pub(crate) mod id_map;
#[cfg(feature = "alloc")]
pub(crate) mod image;
pub(crate) mod instant;
pub(crate) mod interest;
pub mod observe;
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

use crate::kernel::beacon::Beacon;
use crate::kernel::queue::RunQueue;
use crate::kernel::slab::{Entry, NONE, Slab};
use crate::kernel::step::WaitKey;
use crate::kernel::task_slot::{ASKED, EVER, TOLD, TaskSlot, Tasks};
use crate::kernel::timers::{Timer, Timers};
use crate::kernel::wait_slot::WaitSlot;
use crate::kernel::wait_tables::WaitTables;

pub use audit::{Broken, TaskView};
pub use error::{Failure, Full, IoError, Op};
pub use id::{Id, JobId, SourceId, TaskId};
#[cfg(feature = "alloc")]
pub use id_map::IdMap;
pub use instant::Instant;
pub use interest::{Interest, Readiness};
pub use step::{ExpectedWaker, MAX_WAITS, Step, Wait, WaitTarget, WakeReason};
pub use storage::{Fixed, Slots, Storage, TaskNote};
#[cfg(feature = "alloc")]
pub use storage::{Growing, Limits};
pub use task_slot::TaskState;

/// The action that a host takes after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Tasks are ready, or a deadline has passed: poll the sources without waiting, and run the next turn.
    Ready,
    /// Wait until a source is ready or a job is done, at most until this moment. The moment is later than the beginning
    /// of the turn. It can be earlier than the next deadline, never later; it is [`Instant::NEVER`] if no wait has a
    /// deadline. If the clock has passed it already, poll the sources without waiting.
    Until(Instant),
    /// All tasks wait for a [`wake`](Kernel::wake) by another task: nothing can wake them (promise 8).
    /// [`Kernel::tasks`] lists them.
    Stalled,
    /// No task is left.
    Empty,
}

/// The scheduler, wait tables and timers of one thread, in storage that the caller provides.
///
/// A host calls the kernel in the loop that [the crate's page](crate) shows. All operations are O(1) except those that
/// move a timer, which are O(log n).
pub struct Kernel<S: Storage> {
    pub(crate) tasks: Tasks<S::Tasks<Entry<TaskSlot>>>,
    pub(crate) ready: RunQueue,
    pub(crate) wait_tables: WaitTables<S>,
    pub(crate) timers: Timers<S::Tasks<Timer>>,
    pub(crate) now: Instant,
    /// When the last turn began that followed a poll of all sources. The next poll begins after this moment.
    pub(crate) looked: Instant,
    /// The moment up to which all events are known: deadlines up to here have expired.
    pub(crate) seen: Instant,
    /// The value of `seen` before the last poll of the sources.
    pub(crate) seen_before: Instant,
    /// The last task that runs in this turn; [`NONE`] if the turn has ended. Tasks queued from now on run in the next
    /// turn.
    pub(crate) last: u32,
    /// The number of waits that only another task can end.
    pub(crate) open_ended: u32,
    /// The number of waits with a deadline so far; wraps.
    pub(crate) deadlines: u32,
    /// The number of tasks whose cancellation is still to be delivered, or is delivered by the current step.
    pub(crate) cancelling: u32,
    /// The treatment of tasks that are spawned from now on.
    pub(crate) end: End,
    /// The marks around the changes of the tables, for readers in other processes.
    beacon: S::Beacon,
}

/// The treatment of tasks that are spawned by tasks.
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
    /// Creates a kernel without tasks, with the capacity of `storage`.
    #[must_use]
    pub fn new(storage: &S) -> Self {
        Self {
            tasks: Slab::new(storage.task_slots()),
            ready: RunQueue::new(),
            wait_tables: WaitTables::new(storage),
            timers: Timers::new(storage.timers()),
            now: Instant::ZERO,
            looked: Instant::ZERO,
            seen: Instant::ZERO,
            seen_before: Instant::ZERO,
            last: NONE,
            open_ended: 0,
            deadlines: 0,
            cancelling: 0,
            end: End::Open,
            beacon: storage.beacon(),
        }
    }

    /// Begins a turn at `now`, after a poll of all sources whose results were passed to [`ready`](Self::ready). Each
    /// task that is ready runs one step before [`next`](Self::next) reports the end of the turn. If `now` is earlier
    /// than the last turn, the time of the last turn is used.
    ///
    /// A wait ends by its deadline in the first turn that follows a poll which began after the deadline (promise 10).
    /// The poll before this turn began after the previous call of this function. A deadline that has passed since then
    /// has not expired yet: [`rest`](Self::rest) asks for another poll, and the next call ends the wait, unless that
    /// poll has found an event that ended it.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        self.seen_before = self.seen;
        self.seen = self.looked;
        self.now = self.now.max(now);
        self.looked = self.now;
        self.begin_turn();
    }

    /// Begins a turn at `now` without a poll of all sources: no wait ends by its deadline.
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

    /// Postpones the deadlines of waits that began in the last turn by `span`, the duration of that turn. For hosts
    /// that cannot read a clock during a turn: a timeout that a task requested in the turn then never expires early.
    /// O(tasks).
    #[cfg(feature = "alloc")]
    pub(crate) fn turn_took(&mut self, span: Duration) {
        let now = self.now;
        for slot in self.tasks.live_values() {
            let began_then = slot.state == TaskState::Waiting && slot.since == now;
            if began_then && slot.deadline > now && slot.deadline != Instant::NEVER {
                // A timer that is now too early is corrected when it fires.
                slot.deadline = (slot.deadline + span).min(Instant::LAST);
            }
        }
    }

    /// Returns the moment up to which all events are known to the kernel; deadlines up to here have expired. A host
    /// with deadlines of its own compares them with this moment instead of the clock, so that promise 10 holds for them
    /// too.
    #[must_use]
    pub fn seen(&self) -> Instant {
        self.seen
    }

    /// Returns the moment up to which deadlines have expired for the running task. A task that an event has woken
    /// handles the event first, and sees its deadline expire one poll later.
    pub(crate) fn seen_by_running(&mut self) -> Instant {
        match self.head().1 {
            WakeReason::TimedOut | WakeReason::Yielded | WakeReason::Spawned => self.seen,
            _ => self.seen_before,
        }
    }

    /// Returns the moment when this turn began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns the oldest ready task, or `None` if the turn has ended. The caller runs the task and passes its answer
    /// to [`park`](Self::park); until then, this function returns the same task.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator would hold the kernel borrowed")]
    pub fn next(&mut self) -> Option<TaskId> {
        if self.last == NONE { None } else { Some(self.head().0) }
    }

    /// Moves the task that [`next`](Self::next) returned, as its step says: into the wait tables, to the end of the run
    /// queue, or out of the kernel. Does nothing if `task` is another id.
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

    /// Returns the task at the head of the queue, or `None` if the turn has ended.
    #[inline]
    pub(crate) fn begin_step(&self) -> Option<u32> {
        (self.last != NONE).then_some(self.ready.head)
    }

    /// Ends the step of the task that was at the `head` and is parked now. Returns the task that runs next, or `None`
    /// if the turn has ended.
    #[inline]
    pub(crate) fn end_step(&mut self, head: u32) -> Option<u32> {
        if head == self.last {
            self.last = NONE;
            return None;
        }
        Some(self.ready.head)
    }

    /// Returns the task at the head of the queue and why it runs. The queue must not be empty.
    #[inline]
    pub(crate) fn head(&mut self) -> (TaskId, WakeReason) {
        let index = self.ready.head;
        let entry = self.tasks.at(index);
        (TaskId::new(index, entry.generation), entry.value.wake_reason)
    }

    /// Parks the task at the `head` of the queue after it yielded.
    #[inline]
    pub(crate) fn requeue(&mut self, head: u32) {
        let entry = self.tasks.at(head);
        if !entry.value.is_to_be_told() {
            entry.value.wake_reason = WakeReason::Yielded;
            self.ready.rotate(head, entry.link);
            self.beacon.rotated(self.ready.head);
        } else {
            self.requeue_cancelled(head);
        }
    }

    #[cold]
    fn requeue_cancelled(&mut self, head: u32) {
        if !self.is_cancelled_again() {
            return self.requeue(head);
        }
        self.beacon.begin();
        self.ready.pop(&mut self.tasks);
        self.make_ready(head, WakeReason::Cancelled);
        self.beacon.end(self.ready.head);
    }

    /// Ends the step of the task at the head. Returns true if a cancellation of the task is still to be delivered.
    fn is_cancelled_again(&mut self) -> bool {
        let cancelled = &mut self.tasks.at(self.ready.head).value.cancelled;
        self.cancelling -= u32::from(*cancelled & (ASKED | TOLD) == TOLD);
        *cancelled &= !TOLD;
        *cancelled & ASKED != 0
    }

    /// Returns true if the task at the head is cancelled and no finished step has delivered that.
    pub(crate) fn is_head_to_be_told(&mut self) -> bool {
        self.tasks.at(self.ready.head).value.is_to_be_told()
    }

    /// Delivers the cancellation of the task at the head in the current step, so that no later step delivers it.
    /// Returns true if there is one to deliver.
    pub(crate) fn take_cancel(&mut self) -> bool {
        let slot = &mut self.tasks.at(self.ready.head).value;
        let is_to_be_told = slot.is_to_be_told();
        if is_to_be_told {
            slot.cancelled = TOLD | EVER;
        }
        is_to_be_told
    }

    /// Parks the task at the head of the queue after it asked to wait. If the wait has ended already, queues the
    /// task again.
    pub(crate) fn park_head(&mut self, wait: &Wait) {
        let index = self.ready.head;
        self.is_cancelled_again();
        self.beacon.begin();
        self.ready.pop(&mut self.tasks);
        match self.enter_all(index, wait) {
            Ok(()) => self.begin_wait(index, wait),
            Err(wake_reason) => {
                self.leave_all(index);
                self.make_ready(index, wake_reason);
            }
        }
        self.beacon.end(self.ready.head);
    }

    /// Removes the task at the head, which has ended, from the queue and frees its slot.
    pub(crate) fn remove_head(&mut self) {
        let index = self.ready.head;
        // A pending cancellation can no longer be delivered: the task has ended.
        self.cancelling -= u32::from(self.is_cancelled_again());
        self.beacon.begin();
        self.ready.pop(&mut self.tasks);
        self.tasks.remove(index);
        self.beacon.end(self.ready.head);
    }

    /// Returns what the host does until the next turn.
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

    /// Returns true if a timer is due whose wait can end only after another poll of the sources.
    #[must_use]
    #[inline]
    pub fn has_due(&self) -> bool {
        self.timers.first().is_some_and(|first| first.at <= self.now)
    }

    /// Returns true if a task can run in a turn without another poll of the sources.
    #[must_use]
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.ready.len > 0
    }

    /// Creates a task at the end of the run queue.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if the storage has no free slot for a task.
    pub fn spawn(&mut self) -> Result<TaskId, Full> {
        let now = self.now;
        let fresh = TaskSlot::new(now, NONE);
        self.beacon.begin();
        let inserted = self.tasks.insert(fresh, |old| *old = TaskSlot::new(now, old.timer));
        if let Ok((index, _)) = inserted {
            self.ready.push(&mut self.tasks, index);
        }
        self.beacon.end(self.ready.head);
        inserted.map(|(index, generation)| TaskId::new(index, generation))
    }

    /// Ends the task's current wait, or its next one if the task does not wait. Returns true if the task exists.
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

    /// Cancels the task. A waiting task leaves the wait tables at once and runs with [`WakeReason::Cancelled`], so that it
    /// can clean up and end. A ready task runs once more with [`WakeReason::Cancelled`] after its next step, unless that
    /// step ends it. Returns true if the task exists.
    ///
    /// Each further call is delivered again, and a repeated cancellation drops an `async fn` at its current `.await`.
    /// Tasks that cancel each other use [`cancel_once`](Self::cancel_once).
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

    /// [`cancel`](Self::cancel)s the task, unless it was cancelled before. Returns true if the task exists.
    pub fn cancel_once(&mut self, task: TaskId) -> bool {
        match self.tasks.get_mut(task.index, task.generation) {
            Some(slot) if slot.cancelled & EVER == 0 => self.cancel(task),
            slot => slot.is_some(),
        }
    }

    /// Wakes every task as [`wake`](Self::wake) does. O(n).
    #[cfg(not(feature = "alloc"))]
    pub(crate) fn wake_every_task(&mut self) {
        self.for_each(Self::wake);
    }

    /// Cancels every task as [`cancel_once`](Self::cancel_once) does, and from now on each task that a task spawns.
    /// O(n).
    pub fn cancel_all(&mut self) {
        self.end = self.end.max(End::Cancelled);
        self.for_each(Self::cancel_once);
    }

    /// Cancels every task as [`cancel`](Self::cancel) does, including tasks that were cancelled before. From now on
    /// tasks cannot spawn. A host that has to end its tasks by force calls this before each turn until no task is left.
    /// O(n).
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

    /// Creates a source that no task waits for.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if the storage has no free slot for a source.
    pub fn open(&mut self) -> Result<SourceId, Full> {
        self.wait_tables.open()
    }

    /// Returns true if the source is open.
    #[must_use]
    pub fn is_open(&self, source: SourceId) -> bool {
        self.wait_tables.wait_slot(WaitKey::new(WaitTarget::Recv(source))).is_some()
    }

    /// Closes the source and wakes every task that waits for it with [`WakeReason::Closed`] (promise 6). Returns true if the
    /// source was open.
    pub fn close(&mut self, source: SourceId) -> bool {
        self.wake_all(source, WakeReason::Closed);
        let is_open = self.is_open(source);
        if is_open {
            self.wait_tables.sources.remove(source.index);
        }
        is_open
    }

    /// Reports what `source` is ready for, and wakes the tasks that wait for that. [`Interest::HANGUP`] ends every wait
    /// for the source. Does nothing if the source is closed.
    ///
    /// Readiness is level-triggered: the kernel does not store readiness that no task waits for. If the host watches
    /// for such readiness, [`next_change`](Self::next_change) tells it to stop, so that the host does not report it
    /// again and again.
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

    /// Returns the next source whose interest has changed, with the conditions that the host watches it for from now
    /// on; an empty interest means that the host need not watch it. The host calls this until it returns `None`, before
    /// it waits.
    pub fn next_change(&mut self) -> Option<(SourceId, Interest)> {
        self.wait_tables.next_change()
    }

    /// Creates a job.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if the storage has no free slot for a job.
    pub fn begin_job(&mut self) -> Result<JobId, Full> {
        self.wait_tables.begin()
    }

    /// Reports that the job is done: wakes the task that waits for it, or the task that will. Does nothing if the job
    /// is gone.
    pub fn job_done(&mut self, job: JobId) {
        self.wake_waiter(WaitTarget::Job(job), WakeReason::Ready);
        if let Some(slot) = self.wait_tables.jobs.get_mut(job.index, job.generation) {
            slot.done = true;
        }
    }

    /// Removes the job and wakes the task that waits for it with [`WakeReason::Closed`]. Returns true if the job existed.
    pub fn end_job(&mut self, job: JobId) -> bool {
        self.wake_waiter(WaitTarget::Job(job), WakeReason::Closed);
        let is_there = self.wait_tables.wait_slot(WaitKey::new(WaitTarget::Job(job))).is_some();
        if is_there {
            self.wait_tables.jobs.remove(job.index);
        }
        is_there
    }

    /// Ends the wait of the timer that fires first, or corrects that timer if it is early. Returns false if the wait
    /// must not end before another poll of the sources.
    #[cold]
    fn timer_is_up(&mut self, first: Timer) -> bool {
        let entry = self.tasks.at(first.task);
        let slot = &entry.value;
        let current = Timer { at: slot.deadline, order: slot.order, task: first.task };
        let waits = entry.is_live() && slot.state == TaskState::Waiting;
        let is_early = waits && slot.deadline != Instant::NEVER && current != first;
        if is_early {
            self.beacon.begin();
            self.timers.postpone_first(current, &mut self.tasks);
        } else if !waits || slot.deadline == Instant::NEVER {
            self.beacon.begin();
            self.timers.remove_first(&mut self.tasks);
        } else if first.at > self.seen {
            return false;
        } else {
            self.end_wait(first.task, WakeReason::TimedOut);
            self.beacon.begin();
            self.timers.remove_first(&mut self.tasks);
        }
        self.beacon.end(self.ready.head);
        true
    }

    /// Ends every wait for the source. Returns true if there was one.
    fn wake_all(&mut self, source: SourceId, wake_reason: WakeReason) -> bool {
        let waits = [WaitTarget::Recv(source), WaitTarget::Send(source), WaitTarget::Hangup(source)];
        waits.into_iter().fold(false, |any, target| self.wake_waiter(target, wake_reason) | any)
    }

    #[inline]
    fn wake_waiter(&mut self, target: WaitTarget, wake_reason: WakeReason) -> bool {
        let Some(wait_slot) = self.wait_tables.wait_slot(WaitKey::new(target)) else { return false };
        let task = *self.wait_tables.waiter(wait_slot);
        if task != NONE {
            self.end_wait_by(task, wake_reason, wait_slot.0);
        }
        task != NONE
    }

    /// Queues a task that is in neither the queue nor the wait tables.
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
            // A timer that was early enough for the last deadline is early enough for a later one.
            if slot.timer == NONE || deadline < last || last == Instant::NEVER {
                let timer = Timer { at: deadline, order: slot.order, task: index };
                self.timers.at_latest(timer, &mut self.tasks);
            }
        } else if slot.is_open_ended() {
            self.open_ended += 1;
        }
    }

    /// Ends the task's wait and removes the task from all wait tables.
    fn end_wait(&mut self, index: u32, wake_reason: WakeReason) {
        let by = self.tasks.at(index).value.by;
        self.end_wait_by(index, wake_reason, by);
    }

    /// Ends the task's wait as [`end_wait`](Self::end_wait) does, and notes what has ended it.
    fn end_wait_by(&mut self, index: u32, wake_reason: WakeReason, by: u32) {
        let slot = &self.tasks.at(index).value;
        debug_assert!(slot.state == TaskState::Waiting, "only a waiting task leaves the wait tables");
        if slot.is_open_ended() {
            self.open_ended -= 1;
        }
        self.beacon.begin();
        self.tasks.at(index).value.by = by;
        self.leave_all(index);
        self.make_ready(index, wake_reason);
        self.beacon.end(self.ready.head);
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
