//! The kernel: it knows who runs next and who waits for what, and nothing else.

use crate::error::Full;
use crate::id::{JobId, SourceId, TaskId};
use crate::interest::{Interest, Readiness};
use crate::queue::RunQueue;
use crate::slab::{Entry, NONE, Slab};
use crate::step::{MAX_WAITS, Step, Wait, Woken};
use crate::storage::Storage;
use crate::time::Instant;
use crate::timers::{Positions, Timer, Timers};
use crate::wait::{Bin, Direction, Place, Refused};

/// Where a task is (promise 1): on the run queue, or in the bin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// On the run queue. While a task runs, it is the first there.
    Ready,
    /// In the bin.
    Waiting,
}

/// What the kernel knows of a task: its place in the [`Storage`] of tasks.
#[derive(Clone, Copy)]
pub struct TaskSlot {
    pub(crate) places: [Place; MAX_WAITS],
    pub(crate) deadline: Instant,
    pub(crate) since: Instant,
    /// Which of all waits with a deadline this was.
    order: u32,
    /// Where its timer stands. A timer belongs to the slot: it outlives a wait, and the task.
    timer: u32,
    pub(crate) state: TaskState,
    woken: Woken,
    /// Named while it was not waiting: its next wait ends at once.
    named: bool,
    /// Cancelled while it was not waiting: its next step but this is told.
    cancelled: bool,
}

impl TaskSlot {
    fn new(now: Instant, timer: u32) -> Self {
        Self {
            places: [Place::NOWHERE; MAX_WAITS],
            deadline: Instant::NEVER,
            since: now,
            order: 0,
            timer,
            state: TaskState::Ready,
            woken: Woken::Spawned,
            named: false,
            cancelled: false,
        }
    }

    pub(crate) fn effective_deadline(&self) -> Instant {
        match self.state {
            TaskState::Waiting => self.deadline,
            TaskState::Ready => Instant::NEVER,
        }
    }

    pub(crate) fn timer_position(&self) -> u32 {
        self.timer
    }

    /// Whether nothing but another task can end this wait.
    #[inline]
    pub(crate) fn is_open_ended(&self) -> bool {
        self.places[0] == Place::NOWHERE && self.deadline == Instant::NEVER
    }
}

/// What there is to do when a turn is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Tasks are ready: look at the sources without waiting, and run the next turn.
    Ready,
    /// Wait until something is ready, or until this moment at the latest. It can be early, never late;
    /// [`Instant::NEVER`] if no wait has a deadline.
    Until(Instant),
    /// Every task waits to be named by another, and all wait: nothing can wake them (promise 8).
    /// [`Kernel::tasks`] lists them.
    Stalled,
    /// No task is left.
    Empty,
}

/// Scheduler, wait tables and timers of one thread, in storage of the caller's.
///
/// A host calls it in a fixed round; [the crate's page](crate) shows it. Everything is O(1), except what
/// moves a timer: O(log n).
pub struct Kernel<S: Storage> {
    tasks: Slab<TaskSlot, S::Tasks<Entry<TaskSlot>>>,
    ready: RunQueue,
    bin: Bin<S>,
    timers: Timers<S::Tasks<Timer>>,
    now: Instant,
    /// Steps that this turn still has, beside those held back while new tasks are settled.
    turn: u32,
    held_back: u32,
    /// Waits that only another task can end.
    open_ended: u32,
    /// Waits with a deadline, ever.
    deadlines: u32,
}

impl<S: Storage> Kernel<S> {
    /// A kernel without tasks, as large as `storage` says.
    #[must_use]
    pub fn new(storage: &S) -> Self {
        Self {
            tasks: Slab::new(storage.tasks()),
            ready: RunQueue::new(),
            bin: Bin::new(storage),
            timers: Timers::new(storage.tasks()),
            now: Instant::ZERO,
            turn: 0,
            held_back: 0,
            open_ended: 0,
            deadlines: 0,
        }
    }

    /// Begins a turn at `now`: every wait whose deadline has come ends, and each task that is ready then
    /// gets one step before [`next`](Self::next) says that the turn is over. A `now` in the past counts as
    /// the last one.
    pub fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(first) = self.timers.first() {
            if first.at > self.now {
                break;
            }
            self.timer_is_up(first);
        }
        self.turn = self.ready.len();
    }

    /// The moment that this turn began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The oldest ready task; `None` when the turn is over. The caller runs it and gives its answer to
    /// [`park`](Self::park); until then it stays the next.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would hold the kernel borrowed"
    )]
    pub fn next(&mut self) -> Option<TaskId> {
        if self.turn == 0 {
            return None;
        }
        Some(self.head())
    }

    /// Puts the task that [`next`](Self::next) named where its step says: into the bin, to the end of the
    /// queue, or out. Any other id does nothing.
    #[inline]
    pub fn park(&mut self, task: TaskId, step: Step) {
        if self.next() != Some(task) {
            return;
        }
        self.turn -= 1;
        match step {
            Step::Yield => self.requeue(task.index),
            Step::Wait(wait) => self.park_head(&wait),
            Step::Done | Step::Fail(_) => self.remove_head(),
        }
    }

    /// Like [`next`](Self::next), for a caller who parks the task without fail: the step is counted.
    #[inline]
    pub(crate) fn begin_step(&mut self) -> Option<u32> {
        if self.turn == 0 {
            return None;
        }
        self.turn -= 1;
        Some(self.ready.head())
    }

    /// Ends the turn for the moment, so that the executor can settle new tasks.
    pub(crate) fn hold_turn(&mut self) {
        self.held_back += core::mem::take(&mut self.turn);
    }

    pub(crate) fn continue_turn(&mut self) {
        self.turn += core::mem::take(&mut self.held_back);
    }

    /// The task at the head of the queue, which must not be empty.
    #[inline]
    pub(crate) fn head(&mut self) -> TaskId {
        let index = self.ready.head();
        TaskId::new(index, self.tasks.at(index).generation)
    }

    /// Why the task at the head of the queue runs.
    #[inline]
    pub(crate) fn head_woken(&mut self) -> Woken {
        self.tasks.at(self.ready.head()).value.woken
    }

    /// Parks the task at the `head` of the queue, which yields.
    #[inline]
    pub(crate) fn requeue(&mut self, head: u32) {
        let entry = self.tasks.at(head);
        if !entry.value.cancelled {
            entry.value.woken = Woken::Yielded;
            self.ready.rotate(head, entry.link);
            return;
        }
        self.requeue_cancelled(head);
    }

    #[cold]
    fn requeue_cancelled(&mut self, head: u32) {
        self.ready.pop(&mut self.tasks);
        self.make_ready(head, Woken::Cancelled);
    }

    /// The same for one that waits. A wait that has ended before it began puts it back on the queue.
    pub(crate) fn park_head(&mut self, wait: &Wait) {
        let index = self.ready.head();
        self.ready.pop(&mut self.tasks);
        match self.enter_all(index, wait) {
            Ok(()) => self.stay_in_bin(index, wait.deadline),
            Err(woken) => {
                self.leave_all(index);
                self.make_ready(index, woken);
            }
        }
    }

    /// The same for one that is over.
    pub(crate) fn remove_head(&mut self) {
        let index = self.ready.head();
        self.ready.pop(&mut self.tasks);
        self.tasks.remove(index);
    }

    /// What there is to do until the next turn.
    #[must_use]
    pub fn rest(&self) -> Rest {
        if self.ready.len() > 0 {
            Rest::Ready
        } else if self.tasks.live() == 0 {
            Rest::Empty
        } else if self.open_ended == self.tasks.live() {
            Rest::Stalled
        } else {
            Rest::Until(self.timers.first().map_or(Instant::NEVER, |first| first.at))
        }
    }

    /// Why the task runs, or last ran.
    #[must_use]
    pub fn woken(&self, task: TaskId) -> Option<Woken> {
        Some(self.tasks.get(task.index, task.generation)?.woken)
    }

    /// A new task, at the end of the run queue.
    ///
    /// # Errors
    ///
    /// [`Full`] when the storage has no place for another.
    pub fn spawn(&mut self) -> Result<TaskId, Full> {
        let now = self.now;
        let fresh = TaskSlot::new(now, NONE);
        let (index, generation) = self
            .tasks
            .insert(fresh, |old| *old = TaskSlot::new(now, old.timer))?;
        self.ready.push(&mut self.tasks, index);
        Ok(TaskId::new(index, generation))
    }

    /// Whether [`spawn`](Self::spawn) would say [`Full`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tasks.is_full()
    }

    /// Ends the task's wait, or its next one if it is not waiting. Whether there is such a task.
    pub fn wake(&mut self, task: TaskId) -> bool {
        let Some(slot) = self.tasks.get_mut(task.index, task.generation) else {
            return false;
        };
        if slot.state == TaskState::Waiting {
            self.out_of_bin(task.index, Woken::Named);
        } else {
            slot.named = true;
        }
        true
    }

    /// Cancels the task: takes it out of the bin at once and lets it run, told [`Woken::Cancelled`], so that
    /// it can clean up and end. A task that is ready is told so after its next step, unless that was its
    /// last. Whether there is such a task.
    pub fn cancel(&mut self, task: TaskId) -> bool {
        let Some(slot) = self.tasks.get_mut(task.index, task.generation) else {
            return false;
        };
        match slot.state {
            TaskState::Waiting => self.out_of_bin(task.index, Woken::Cancelled),
            TaskState::Ready => slot.cancelled = true,
        }
        true
    }

    /// A new source, for which nobody waits yet.
    ///
    /// # Errors
    ///
    /// [`Full`] when the storage has no place for another.
    pub fn open(&mut self) -> Result<SourceId, Full> {
        self.bin.open()
    }

    /// Closes the source: whoever waits for it runs, told [`Woken::Closed`] (promise 6). Whether there was
    /// such a source.
    pub fn close(&mut self, source: SourceId) -> bool {
        if !self.bin.is_open(source) {
            return false;
        }
        for direction in Direction::ALL {
            self.wake_waiter(source, direction, Woken::Closed);
        }
        self.bin.close(source);
        true
    }

    /// The host says what `source` is ready for: whoever waits for that runs. Hangup ends every wait for
    /// the source. A source that is gone does nothing.
    ///
    /// Readiness is level-triggered: what nobody waits for is not kept. If the host watched for it, it is
    /// told to stop by [`next_change`](Self::next_change), so that it does not report it over and over.
    pub fn ready(&mut self, source: SourceId, readiness: Readiness) {
        if readiness.contains(Interest::HANGUP) {
            self.hangup(source);
            return;
        }
        for direction in [Direction::Recv, Direction::Send] {
            if readiness.contains(direction.interest())
                && !self.wake_waiter(source, direction, Woken::Ready)
            {
                self.bin.unheard(source, direction);
            }
        }
    }

    /// The next source that the host should watch for something else than before, and for what; nothing
    /// at all means that it need not be watched. The host asks until there is none left, before it waits.
    pub fn next_change(&mut self) -> Option<(SourceId, Interest)> {
        self.bin.next_change()
    }

    /// A new job.
    ///
    /// # Errors
    ///
    /// [`Full`] when the storage has no place for another.
    pub fn begin_job(&mut self) -> Result<JobId, Full> {
        self.bin.begin()
    }

    /// The host says that the job is done: whoever waits for it, now or later, runs. A job that is gone
    /// does nothing.
    pub fn job_done(&mut self, job: JobId) {
        if let Some(task) = self.bin.job_waiter(job) {
            self.out_of_bin(task, Woken::Ready);
        }
        self.bin.set_done(job);
    }

    /// Forgets the job: whoever waits for it runs, told [`Woken::Closed`]. Whether there was such a job.
    pub fn end_job(&mut self, job: JobId) -> bool {
        if self.bin.is_done(job).is_none() {
            return false;
        }
        if let Some(task) = self.bin.job_waiter(job) {
            self.out_of_bin(task, Woken::Closed);
        }
        self.bin.end(job);
        true
    }

    pub(crate) fn slots(&self) -> &[Entry<TaskSlot>] {
        self.tasks.entries()
    }

    pub(crate) fn parts(&self) -> (&RunQueue, &Bin<S>, &[Timer], u32) {
        (
            &self.ready,
            &self.bin,
            self.timers.entries(),
            self.open_ended,
        )
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.live() as usize
    }

    /// Whether no task is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn timer_is_up(&mut self, first: Timer) {
        let entry = self.tasks.at(first.task);
        let slot = &entry.value;
        let current = Timer {
            at: slot.deadline,
            order: slot.order,
            task: first.task,
        };
        let waits = entry.is_live() && slot.state == TaskState::Waiting;
        if !waits || slot.deadline == Instant::NEVER {
            self.timers.remove_first(&mut self.tasks);
        } else if current != first {
            self.timers.postpone_first(current, &mut self.tasks);
        } else {
            self.timers.remove_first(&mut self.tasks);
            self.out_of_bin(first.task, Woken::TimedOut);
        }
    }

    fn hangup(&mut self, source: SourceId) {
        let mut heard = false;
        for direction in Direction::ALL {
            heard |= self.wake_waiter(source, direction, Woken::Hangup);
        }
        if !heard {
            self.bin.unheard(source, Direction::Hangup);
        }
    }

    fn wake_waiter(&mut self, source: SourceId, direction: Direction, woken: Woken) -> bool {
        let waiter = self.bin.waiter(source, direction);
        if let Some(task) = waiter {
            self.out_of_bin(task, woken);
        }
        waiter.is_some()
    }

    /// Queues a task that is neither queued nor in the bin any more.
    #[inline]
    fn make_ready(&mut self, index: u32, woken: Woken) {
        let now = self.now;
        let slot = &mut self.tasks.at(index).value;
        slot.state = TaskState::Ready;
        slot.woken = woken;
        slot.since = now;
        if woken == Woken::Cancelled {
            slot.cancelled = false;
        }
        self.ready.push(&mut self.tasks, index);
    }

    fn enter_all(&mut self, index: u32, wait: &Wait) -> Result<(), Woken> {
        let slot = &mut self.tasks.at(index).value;
        if slot.cancelled {
            return Err(Woken::Cancelled);
        }
        if core::mem::take(&mut slot.named) {
            return Err(Woken::Named);
        }
        for (number, what) in wait.whats.iter().flatten().enumerate() {
            let place = self
                .bin
                .enter(index, *what)
                .map_err(|refused| match refused {
                    Refused::Ready => Woken::Ready,
                    Refused::Closed => Woken::Closed,
                    Refused::Busy => Woken::Busy,
                })?;
            self.tasks.at(index).value.places[number] = place;
        }
        Ok(())
    }

    fn stay_in_bin(&mut self, index: u32, deadline: Instant) {
        let (now, order) = (self.now, self.deadlines);
        let slot = &mut self.tasks.at(index).value;
        slot.state = TaskState::Waiting;
        slot.since = now;
        slot.deadline = deadline;
        if deadline != Instant::NEVER {
            slot.order = order;
            self.deadlines = order.wrapping_add(1);
            let timer = Timer {
                at: deadline,
                order,
                task: index,
            };
            self.timers.at_latest(timer, &mut self.tasks);
        } else if slot.is_open_ended() {
            self.open_ended += 1;
        }
    }

    /// Ends a wait, whatever else it was for.
    fn out_of_bin(&mut self, index: u32, woken: Woken) {
        let slot = &self.tasks.at(index).value;
        debug_assert!(
            slot.state == TaskState::Waiting,
            "who leaves the bin was in it"
        );
        if slot.is_open_ended() {
            self.open_ended -= 1;
        }
        self.leave_all(index);
        self.make_ready(index, woken);
    }

    fn leave_all(&mut self, index: u32) {
        let slot = &mut self.tasks.at(index).value;
        let places = core::mem::replace(&mut slot.places, [Place::NOWHERE; MAX_WAITS]);
        for place in places {
            if place == Place::NOWHERE {
                break;
            }
            self.bin.leave(place);
        }
    }
}

impl<V: crate::storage::Slots<Entry<TaskSlot>>> Positions for Slab<TaskSlot, V> {
    fn position(&self, task: u32) -> u32 {
        self.entries()[task as usize].value.timer
    }

    fn set_position(&mut self, task: u32, position: u32) {
        self.at(task).value.timer = position;
    }
}
