//! The door between the tasks that are `async fn`s and the kernel (curio's word: the trap door). It is open while
//! such a task runs; through it a future reaches its host, and at it a future leaves what it waits for.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};

use crate::exec::buffers::BufferedBytes;
#[cfg(feature = "alloc")]
use crate::exec::label::Label;
use crate::job::erased::ErasedJob;
use crate::kernel::error::{Full, IoError};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::step::{ExpectedWaker, MAX_WAITS, Step, Wait, WaitKey, WaitTarget, WakeReason};
use crate::kernel::wait_slot::WaitSlot;
use crate::task::alarms::Alarms;
use crate::task::deferred::{Deferred, DeferredQueue};
use crate::task::error::WaitError;
use crate::task::report::Reports;
#[cfg(feature = "alloc")]
use crate::task::report::UnjoinedFailure;
use crate::task::slot::Notice;
use crate::task::task_ref::Owned;
use crate::task::wakers::{FULL, Source, WakerState, Wakers};

/// What a running future can have done. [`Cx`](crate::Cx) is the one that does it; the futures know neither the
/// host nor its storage.
pub(crate) trait Ops<'d> {
    fn clock(&self) -> Instant;
    /// Returns the moment up to which deadlines are over for the running task.
    fn seen(&mut self) -> Instant;
    fn wake_reason(&mut self) -> (WakeReason, WaitSlot);
    fn peer(&self, source: SourceId) -> Option<SocketAddr>;
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError>;
    fn read(&mut self, source: SourceId) -> Result<&[u8], IoError>;
    /// Receives what can be kept, and keeps it. Returns true beside it if there was room for no more.
    fn read_kept(&mut self, source: SourceId) -> Result<(BufferedBytes, bool), IoError>;
    fn kept<'b>(&'b self, held: &'b BufferedBytes) -> &'b [u8];
    fn give_back(&mut self, block: u32);
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError>;
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError>;
    fn close(&mut self, source: SourceId);
    fn listen(&mut self, address: SocketAddr) -> Result<(SourceId, SocketAddr), IoError>;
    fn take(&mut self, listener: SourceId) -> Result<(SourceId, Option<SocketAddr>), IoError>;
    fn connect(&mut self, address: SocketAddr) -> Result<SourceId, IoError>;
    fn connected(&mut self, source: SourceId) -> Result<(), IoError>;
    #[cfg(feature = "alloc")]
    fn has_room(&self) -> bool;
    /// Takes the task of the loop behind `run_context`, if there is room.
    fn spawn(&mut self, run_context: &'d RunContext<'d>, task: &mut Option<Owned<'d>>) -> TaskId;
    fn wake(&mut self, task: TaskId) -> bool;
    fn cancel(&mut self, task: TaskId) -> bool;
    fn submit_job(&mut self, job: &mut dyn ErasedJob) -> Result<JobId, Full>;
    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool;
    fn has_job(&self, id: JobId) -> bool;
    fn cancel_job(&mut self, id: JobId);
}

impl Deferred {
    /// Does it, and returns true if there was something to do it to.
    fn act<'d>(self, ops: &mut dyn Ops<'d>) -> bool {
        match self {
            Self::Close(source) => {
                ops.close(source);
                true
            }
            Self::Wake(task) => ops.wake(task),
            Self::CancelJob(job) => {
                ops.cancel_job(job);
                true
            }
            Self::GiveBack(block) => {
                ops.give_back(block);
                true
            }
        }
    }
}

/// The host of the running step.
type Host<'d> = NonNull<dyn Ops<'d> + 'd>;

/// How many operations a task can do in one step; then it yields, that others have their turn (promise 3).
const BUDGET: u8 = 32;

/// The budget when nothing is left of it. Each further operation that is refused takes one of it nevertheless, so that
/// they are counted.
const SPENT: u8 = FULL - BUDGET;

/// At this budget or below, that many operations stand back before it is [`FULL`]; at 0 there is none at all.
///
/// Several futures of one task share its budget, and they may be polled in the same order each time. Those that
/// were refused when it was spent would starve if the first always took all of it. In the next step, therefore, the
/// first stands back, and the budget is the second's; in the one after that, the first two stand back, and so on, until
/// none is left. A future that can go on is the first once in as many steps as there are futures, whatever polls them.
const MAX_STAND_BACK: u8 = 127;

/// How often a cancelled task can be told so in one step before it is ended as one that does not listen.
const PATIENCE: u8 = 64;

const YIELDS: u8 = 1;
const WAITS: u8 = 2;

/// Where the tasks of one loop meet their kernel.
///
/// Make it before everything that tasks borrow, and hand a [`Handle`](crate::task::Handle) on it to each. It is shut
/// while no task of it runs: an operation fails then with [`WaitError::Elsewhere`], as one does in a task of
/// another kernel's.
pub struct RunContext<'d> {
    ops: Cell<Option<Host<'d>>>,
    /// The running task, as its waker knows it; none while no step is under way.
    caller: Cell<Option<NonNull<WakerState>>>,
    pub(crate) source: Source<'d>,
    /// What tells the waker that was lent last to a task that has kept one before.
    kept: Cell<*const ()>,
    budget: Cell<u8>,
    /// The budget that the step began with.
    began_with: Cell<u8>,
    /// The budget, while there is none because the running task is yet to be told that it is cancelled.
    withheld: Cell<u8>,
    /// The running task is cancelled, and not shielded.
    cancelled: Cell<bool>,
    /// The running task has not been told yet that it is cancelled: its next operation fails, whether it would wait or
    /// not.
    untold: Cell<bool>,
    /// How often the running task was told so in this step.
    told: Cell<u8>,
    /// A deadline is over: operations are tried once more, whatever woke the task.
    insists: Cell<bool>,
    /// The time that the clock showed when it was last read.
    last_clock: Cell<Instant>,
    /// What the task has left here: whether it [`YIELDS`], and whether it [`WAITS`] for what is in `left`.
    has_left: Cell<u8>,
    left: RefCell<Left>,
    /// The moments that executors within tasks wait for.
    alarms: RefCell<Alarms>,
    /// Operations that were asked for within a callback that has the host borrowed. They are done when it returns.
    deferred: RefCell<DeferredQueue>,
    /// Whether `deferred` holds anything.
    has_deferred: Cell<bool>,
}

/// What the running task has left to wait for.
struct Left {
    wait: Wait,
    /// How many futures wait for each.
    times: [u8; MAX_WAITS],
    by: Option<ExpectedWaker>,
}

impl Left {
    const NOTHING: Self = Self { wait: Wait::wake(), times: [0; MAX_WAITS], by: None };
}

impl<'d> RunContext<'d> {
    /// A door that is shut. Wakers of its tasks that outlive a step are `wakers`'.
    #[must_use]
    pub const fn new(wakers: &'d (dyn Wakers + 'd)) -> Self {
        Self::with_source(Source { wakers, reports: None })
    }

    /// Creates a shut door, as [`new`](Self::new) does, that tells `reports` of tasks which fail and which nobody
    /// joins.
    #[must_use]
    pub const fn reporting(wakers: &'d (dyn Wakers + 'd), reports: &'d (dyn Reports + 'd)) -> Self {
        Self::with_source(Source { wakers, reports: Some(reports) })
    }

    const fn with_source(source: Source<'d>) -> Self {
        Self {
            ops: Cell::new(None),
            caller: Cell::new(None),
            source,
            kept: Cell::new(NO_WAKER),
            budget: Cell::new(0),
            began_with: Cell::new(0),
            withheld: Cell::new(0),
            cancelled: Cell::new(false),
            untold: Cell::new(false),
            told: Cell::new(0),
            insists: Cell::new(false),
            last_clock: Cell::new(Instant::ZERO),
            has_left: Cell::new(0),
            left: RefCell::new(Left::NOTHING),
            alarms: RefCell::new(Alarms::new()),
            deferred: RefCell::new(DeferredQueue::new()),
            has_deferred: Cell::new(false),
        }
    }

    /// Returns true if a step is under way: the user's code can run a loop with this door anywhere, in such a step too.
    #[inline]
    pub(crate) fn is_entered(&self) -> bool {
        self.caller.get().is_some()
    }

    /// Runs `body`, a step of the task `caller`, with the door open to `ops`. No other step is under way.
    #[inline]
    pub(crate) fn enter_alone<R>(
        &self,
        ops: &mut (dyn Ops<'d> + '_),
        caller: &WakerState,
        body: impl FnOnce() -> R,
    ) -> R {
        debug_assert!(!self.is_entered(), "the step around this one would lose what it has");
        self.open(Some(outlive(ops)), caller, body)
    }

    /// Runs `body` as [`enter_alone`](Self::enter_alone) does, also within another step, which has the door again
    /// afterwards.
    pub(crate) fn enter<R>(
        &self,
        ops: &mut (dyn Ops<'d> + '_),
        caller: &WakerState,
        body: impl FnOnce() -> R,
    ) -> R {
        let _outer = Outer { run_context: self, step: self.is_entered().then(|| self.suspend()) };
        self.open(Some(outlive(ops)), caller, body)
    }

    #[inline]
    fn open<R>(&self, ops: Option<Host<'d>>, caller: &WakerState, body: impl FnOnce() -> R) -> R {
        let _entered = Entered(self);
        self.ops.set(ops);
        self.caller.set(Some(NonNull::from(caller)));
        let budget = caller.budget.load(Ordering::Relaxed);
        self.budget.set(budget);
        self.began_with.set(budget);
        body()
    }

    /// Runs `body`, which ends the task `caller`, as a step of that task within the step that is under way, if one is.
    pub(crate) fn step_within(&self, caller: &WakerState, body: impl FnOnce()) {
        if !self.is_entered() {
            return body();
        }
        let outer = self.suspend();
        // The step around this one does nothing with the host before this is over.
        let ops = outer.ops;
        let _outer = Outer { run_context: self, step: Some(outer) };
        self.open(ops, caller, body);
    }

    /// Returns true if a step of the task `caller` is under way.
    pub(crate) fn is_within_step_of(&self, caller: &WakerState) -> bool {
        let is_running = self.caller.get().is_some_and(|running| core::ptr::eq(running.as_ptr(), caller));
        is_running || caller.is_suspended()
    }

    fn mark_suspended(&self, is_so: bool) {
        if let Some(caller) = self.caller.get() {
            // SAFETY: `enter` and `step_within` borrow it until they take it out of the cell or put it there again.
            #[expect(unsafe_code, reason = "the borrow's lifetime is not in the type of the cell")]
            unsafe {
                caller.as_ref().suspend(is_so);
            }
        }
    }

    /// Takes all that belongs to the step that is under way.
    #[cold]
    fn suspend(&self) -> Suspended<'d> {
        self.mark_suspended(true);
        Suspended {
            ops: self.ops.take(),
            caller: self.caller.take(),
            kept: self.kept.replace(NO_WAKER),
            budget: self.budget.get(),
            began_with: self.began_with.get(),
            withheld: self.withheld.get(),
            cancelled: self.cancelled.replace(false),
            untold: self.untold.replace(false),
            told: self.told.replace(0),
            insists: self.insists.replace(false),
            has_left: self.has_left.replace(0),
            left: self.left.replace(Left::NOTHING),
            deferred: {
                self.has_deferred.set(false);
                self.deferred.take()
            },
        }
    }

    /// Goes on with a step.
    #[cold]
    fn resume(&self, step: Suspended<'d>) {
        let Suspended {
            ops,
            caller,
            kept,
            budget,
            began_with,
            withheld,
            cancelled,
            untold,
            told,
            insists,
            has_left,
            left,
            deferred,
        } = step;
        self.ops.set(ops);
        self.caller.set(caller);
        self.kept.set(kept);
        self.budget.set(budget);
        self.began_with.set(began_with);
        self.withheld.set(withheld);
        self.cancelled.set(cancelled);
        self.untold.set(untold);
        self.told.set(told);
        self.insists.set(insists);
        self.has_left.set(has_left);
        self.left.replace(left);
        // A task that was ended within a callback leaves what it had to that.
        let within = self.deferred.replace(deferred);
        self.deferred.borrow_mut().extend(within);
        self.has_deferred.set(!self.deferred.borrow().is_empty());
        self.mark_suspended(false);
    }

    /// Hands the host to `act`; [`WaitError::Elsewhere`] while the door is shut.
    #[inline]
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut dyn Ops<'d>) -> R) -> Result<R, WaitError> {
        let mut ops = self.ops.take().ok_or(WaitError::Elsewhere)?;
        // While `act` runs the door is shut, so that nobody else gets to what it has.
        let _open = Open { run_context: self, then: ops };
        // SAFETY: the pointer was made of an exclusive borrow that `enter` holds while it is in the cell, and it
        // was just taken out of there: nobody else has it.
        #[expect(unsafe_code, reason = "the borrow's lifetime is not in the type of the cell")]
        Ok(act(unsafe { ops.as_mut() }))
    }

    /// Does something that can't fail, now or when the callback is over that has the host. Outside of all tasks it is not
    /// done; a host that goes closes what it has.
    #[inline]
    pub(crate) fn give_back(&self, what: Deferred) -> bool {
        self.with(|ops| what.act(ops)).unwrap_or_else(|_| self.defer(what))
    }

    #[cold]
    fn defer(&self, what: Deferred) -> bool {
        let is_taken = self.is_entered();
        if is_taken {
            self.deferred.borrow_mut().extend([what]);
            self.has_deferred.set(true);
        }
        is_taken
    }

    /// Does what a callback has left.
    #[inline]
    pub(crate) fn catch_up(&self) {
        if self.has_deferred.get() {
            self.catch_up_now();
        }
    }

    #[cold]
    fn catch_up_now(&self) {
        // Where this callback is within another, this is done at the end of the outer one.
        while self.is_open() {
            let deferred = {
                let mut deferred = self.deferred.borrow_mut();
                self.has_deferred.set(!deferred.is_empty());
                if deferred.is_empty() {
                    break;
                }
                deferred.remove(0)
            };
            self.give_back(deferred);
        }
    }

    /// Whether a task of this door runs.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.ops.get().is_some()
    }

    /// The running task, while the door is open.
    #[inline]
    pub(crate) fn caller(&self) -> Option<&WakerState> {
        let caller = self.caller.get().filter(|_| self.is_open())?;
        // SAFETY: `enter` borrows it as long as the door is open, and whoever gets it here runs within. (The
        // reference can be kept longer than that in this crate only, where nobody does.)
        #[expect(unsafe_code, reason = "the borrow's lifetime is not in the type of the cell")]
        Some(unsafe { caller.as_ref() })
    }

    /// Why it runs, and by the wait at which place, if by one; as if spawned, while the door is shut.
    pub(crate) fn wake_reason(&self) -> (WakeReason, WaitSlot) {
        self.with(|ops| ops.wake_reason()).unwrap_or((WakeReason::Spawned, WaitSlot::NONE))
    }

    /// Returns the moment up to which deadlines are over for the running task; [`Instant::ZERO`] while the door is
    /// shut.
    #[inline]
    pub(crate) fn seen(&self) -> Instant {
        self.with(|ops| ops.seen()).unwrap_or(Instant::ZERO)
    }

    /// Returns what the clock said when it was last read.
    pub(crate) fn last_clock(&self) -> Instant {
        self.last_clock.get()
    }

    #[inline]
    pub(crate) fn set_last_clock(&self, now: Instant) {
        self.last_clock.set(now);
    }

    /// Returns true if operations are to be tried although nothing says that they are ready.
    #[inline]
    pub(crate) fn insists(&self) -> bool {
        self.insists.get()
    }

    /// Has operations be tried once more, until the guard is dropped: a deadline of theirs is over.
    #[cold]
    pub(crate) fn insist(&self) -> Insists<'_> {
        Insists { insists: &self.insists, before: self.insists.replace(true) }
    }

    /// Returns true if the task may do another operation in this step. If not, it yields, unless it is cancelled: then
    /// it is refused, as it must not wait. While the door is shut the operation fails by itself.
    #[inline]
    pub(crate) fn spend(&self, context: &Context<'_>) -> Result<bool, WaitError> {
        match self.budget.get() {
            rest if rest > SPENT => {
                self.budget.set(rest - 1);
                Ok(true)
            }
            _ => self.overspend(context),
        }
    }

    #[cold]
    fn overspend(&self, context: &Context<'_>) -> Result<bool, WaitError> {
        if !self.is_open() {
            return Ok(true);
        }
        if self.cancelled.get() {
            return match self.refuse(self.tell()) {
                Poll::Ready(refused) => Err(refused),
                Poll::Pending => Ok(false),
            };
        }
        self.yields(context);
        self.stand_back();
        Ok(false)
    }

    /// Notes that an operation stands back, or was refused since the budget is spent, and decides how many do so in the
    /// next step.
    fn stand_back(&self) {
        let Some(caller) = self.caller() else { return };
        let began_with = self.began_with.get();
        match self.budget.get() {
            0 => {}
            rest @ 1..=MAX_STAND_BACK => {
                if rest == began_with {
                    caller.budget.store(FULL, Ordering::Relaxed);
                }
                self.budget.set(if rest == 1 { FULL } else { rest - 1 });
            }
            rest => {
                self.budget.set((rest - 1).max(MAX_STAND_BACK + 1));
                // This is the second: it has got nothing of the budget.
                if rest == SPENT - 1 {
                    let stood_back = if began_with == FULL { 0 } else { began_with };
                    caller.budget.store((stood_back + 1).min(MAX_STAND_BACK), Ordering::Relaxed);
                }
            }
        }
    }

    /// A waker for a task that may have kept one before: it knows itself again. (Some who keep a waker wake it when
    /// they are given another.)
    #[cold]
    pub(crate) fn kept_waker(&self, caller: &WakerState) -> Waker {
        let waker = self.source.wakers.waker(caller.task());
        self.kept.set(waker.data());
        waker
    }

    /// Forgets the waker that was lent to a task which may have kept one, since it is dropped: another may be where it
    /// was.
    #[cold]
    pub(crate) fn forget_kept_waker(&self) {
        self.kept.set(NO_WAKER);
    }

    /// Whether `waker` is the one that the running task was lent.
    #[inline]
    fn lends(&self, caller: &WakerState, waker: &Waker) -> bool {
        caller.is_behind(waker) || waker.data() == self.kept.get()
    }

    /// The running task is to run again at once. An executor within it, which the kernel does not know, is told too.
    #[inline]
    pub(crate) fn yields(&self, context: &Context<'_>) {
        self.has_left.set(self.has_left.get() | YIELDS);
        self.keep_awake(context);
    }

    #[inline]
    fn keep_awake(&self, context: &Context<'_>) {
        let data = context.waker().data();
        // Compares pointers alone, which works while the host is taken, too.
        let is_lent = self.caller.get().is_some_and(|caller| core::ptr::eq(caller.as_ptr().cast(), data));
        if !is_lent && data != self.kept.get() {
            context.waker().wake_by_ref();
        }
    }

    /// Says that the running task has failed, to whoever wants to hear it.
    #[cfg(feature = "alloc")]
    pub(crate) fn report(&self, label: &Label, error: &dyn core::fmt::Display) {
        let Some(reports) = self.source.reports else { return };
        let task = self.caller().map_or(TaskId::from_bits(u64::MAX), WakerState::task);
        let was_cancelled = self.is_cancelled();
        reports.failed(&UnjoinedFailure { task, label: *label, error, was_cancelled });
    }

    /// Cancels a task. Returns true if there is such a task.
    pub(crate) fn cancel(&self, task: TaskId) -> bool {
        if !self.cancelled.get() && self.caller().map(WakerState::task) == Some(task) {
            // Its next operation yields, and is told then.
            self.budget.set(0);
        }
        self.with(|ops| ops.cancel(task)).unwrap_or(false)
    }

    /// Wakes a task whose future is gone, so that the kernel learns of it; from outside of all tasks as well.
    pub(crate) fn wake_ended(&self, task: TaskId) {
        if !self.is_entered() {
            self.source.wakers.waker(task).wake();
        }
        self.give_back(Deferred::Wake(task));
    }

    /// Runs `body`, a step of a task that is cancelled if `is_so`; `notice` says whether the task knows, and is kept up
    /// to date.
    pub(crate) fn cancelled<R>(&self, is_so: bool, notice: &Cell<Notice>, body: impl FnOnce() -> R) -> R {
        self.told.set(0);
        let _restore = Restore { cell: &self.cancelled, to: false };
        self.cancelled.set(is_so);
        self.untold.set(notice.get() == Notice::Due);
        self.withhold();
        let result = body();
        if notice.get() == Notice::Due && !self.untold.get() {
            notice.set(Notice::Given);
        }
        result
    }

    /// Returns true if the running task is cancelled, and not shielded.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Whether the step has told the task that it is cancelled.
    pub(crate) fn was_told(&self) -> bool {
        (1..PATIENCE).contains(&self.told.get())
    }

    /// Runs `body` as if the task were not cancelled.
    pub(crate) fn shielded<R>(&self, body: impl FnOnce() -> R) -> R {
        if !self.cancelled.get() {
            return body();
        }
        struct Ends<'a, 'd>(&'a RunContext<'d>);
        impl Drop for Ends<'_, '_> {
            fn drop(&mut self) {
                self.0.cancelled.set(true);
                self.0.withhold();
            }
        }
        self.hand_out();
        self.cancelled.set(false);
        let ends = Ends(self);
        let result = body();
        drop(ends);
        // The task is told at the next wait outside of the shield. Until then, that it waits in here does not count as
        // ignoring the cancellation.
        self.told.set(self.told.get().max(1));
        result
    }

    /// Takes the budget away while the task is to be told that it is cancelled, since an empty budget is looked at in
    /// any case.
    fn withhold(&self) {
        if self.cancelled.get() && self.untold.get() {
            self.withheld.set(self.budget.replace(0));
        }
    }

    fn hand_out(&self) {
        if self.untold.get() {
            self.budget.set(self.withheld.get());
        }
    }

    /// Tells the task that it is cancelled.
    fn tell(&self) -> WaitError {
        self.hand_out();
        self.untold.set(false);
        self.told.set(self.told.get().saturating_add(1));
        WaitError::Cancelled
    }

    /// A future waits for `what`: pending, unless it must not wait. Then the task is cancelled, or waits for too much,
    /// or the future is polled by an executor within the task, which would not learn of the kernel's wake.
    #[inline]
    pub(crate) fn leave(&self, what: WaitTarget, context: &Context<'_>) -> Poll<WaitError> {
        if let Err(refused) = self.may_wait(context) {
            return self.refuse(refused);
        }
        let what = WaitKey::new(what);
        self.has_left.set(self.has_left.get() | WAITS);
        let mut left = self.left.borrow_mut();
        let Left { wait, times, .. } = &mut *left;
        for (key, times) in wait.targets.iter_mut().zip(times) {
            if key.wait_slot == WaitSlot::NONE {
                *key = what;
            }
            if *key == what {
                *times = times.saturating_add(1);
                return Poll::Pending;
            }
        }
        Poll::Ready(WaitError::TooMany)
    }

    /// Nobody waits for `what` any more: the future is dropped. In a later step there is nothing left of it.
    pub(crate) fn retract(&self, what: WaitTarget) {
        let what = WaitKey::new(what);
        let mut left = self.left.borrow_mut();
        let Some(at) = left.wait.targets.iter().position(|key| *key == what).filter(|at| left.times[*at] > 0)
        else {
            return;
        };
        left.times[at] -= 1;
        if left.times[at] == 0 {
            left.wait.targets.copy_within(at + 1.., at);
            left.wait.targets[MAX_WAITS - 1] = WaitKey::NOTHING;
            left.times.copy_within(at + 1.., at);
            left.times[MAX_WAITS - 1] = 0;
        }
        let wait = &left.wait;
        if wait.targets[0] == WaitKey::NOTHING && left.by.is_none() && wait.deadline == Instant::NEVER {
            self.has_left.set(self.has_left.get() & !WAITS);
        }
    }

    /// A future waits to be woken by name.
    pub(crate) fn leave_named(&self, by: ExpectedWaker, context: &Context<'_>) -> Poll<WaitError> {
        if let Err(refused) = self.may_wait(context) {
            return self.refuse(refused);
        }
        self.has_left.set(self.has_left.get() | WAITS);
        let mut left = self.left.borrow_mut();
        // Of several that could end it, none is the one.
        left.by = Some(if left.by.is_none_or(|before| before == by) { by } else { ExpectedWaker::Anyone });
        Poll::Pending
    }

    /// Has a future wait for a moment, which is not [`Instant::NEVER`]: a wait without a deadline would be taken for
    /// one that nothing can end. A cancelled task is not told here: it is ended where it stands. Returns false if the
    /// future is not polled by a task of this door itself, which the moment would not wake.
    #[inline]
    pub(crate) fn leave_deadline(&self, moment: Instant, context: &Context<'_>) -> bool {
        let Some(caller) = self.caller() else { return false };
        self.has_left.set(self.has_left.get() | WAITS);
        let mut left = self.left.borrow_mut();
        left.wait.deadline = left.wait.deadline.min(moment);
        self.lends(caller, context.waker())
    }

    /// Keeps the waker of an executor within the running task until the moment, under a number that is known or found.
    #[cold]
    pub(crate) fn keep_alarm(&self, number: &mut u32, moment: Instant, waker: &Waker) {
        let before = self.drop_alarm(*number);
        // The waker's functions are the user's code: none is called while the table of alarms is borrowed.
        let waker = before.filter(|before| before.will_wake(waker)).unwrap_or_else(|| waker.clone());
        let Some(caller) = self.caller() else { return waker.wake() };
        // From here on its steps look for alarms.
        caller.mark_slow();
        let kept = {
            let mut alarms = self.alarms.borrow_mut();
            *number = alarms.number();
            alarms.insert(*number, caller.task(), moment, waker)
        };
        if let Err(waker) = kept {
            waker.wake();
        }
    }

    /// Returns the waker that was kept under the number, if one is, and keeps it no more.
    #[cold]
    pub(crate) fn drop_alarm(&self, number: u32) -> Option<Waker> {
        self.alarms.borrow_mut().remove(number)
    }

    /// Wakes the parts of the running task that wait for a moment which has come.
    pub(crate) fn ring(&self, task: TaskId) {
        loop {
            let seen = self.seen();
            let waker = {
                let mut alarms = self.alarms.borrow_mut();
                alarms.first(task).filter(|(at, _)| *at <= seen).and_then(|(_, number)| alarms.remove(number))
            };
            let Some(waker) = waker else { break };
            waker.wake();
        }
    }

    /// Leaves the next moment that a part of the running task waits for.
    pub(crate) fn leave_alarms(&self, task: TaskId) {
        if let Some((at, _)) = self.alarms.borrow().first(task) {
            self.has_left.set(self.has_left.get() | WAITS);
            let mut left = self.left.borrow_mut();
            left.wait.deadline = left.wait.deadline.min(at);
        }
    }

    #[inline]
    fn may_wait(&self, context: &Context<'_>) -> Result<(), WaitError> {
        if self.cancelled.get() {
            return Err(self.tell());
        }
        match self.caller() {
            Some(caller) if self.lends(caller, context.waker()) => Ok(()),
            Some(_) => Err(WaitError::Wrapped),
            None => Err(WaitError::Elsewhere),
        }
    }

    /// A task that has been told so often that it is cancelled does not listen: it is let go no further.
    #[cold]
    fn refuse(&self, refused: WaitError) -> Poll<WaitError> {
        if self.told.get() >= PATIENCE { Poll::Pending } else { Poll::Ready(refused) }
    }

    /// The step that what the futures of `caller` have left comes to.
    #[inline]
    pub(crate) fn step(&self, caller: &WakerState) -> Step {
        match self.has_left.replace(0) {
            YIELDS => Step::Yield,
            has_left => self.wait(has_left, caller),
        }
    }

    #[inline]
    fn wait(&self, has_left: u8, caller: &WakerState) -> Step {
        let mut left = self.left.borrow_mut();
        let Left { mut wait, by, .. } = *left;
        *left = Left::NOTHING;
        let yields = caller.take_yield() || has_left & YIELDS != 0;
        if yields {
            if wait.targets[0] == WaitKey::NOTHING {
                return Step::Yield;
            }
            // Who yields and waits at once waits until the next turn: so the sources are looked at.
            wait.deadline = Instant::ZERO;
        }
        // Who is pending and has left nothing waits for somebody who will use its waker.
        let outside = has_left & WAITS == 0 || caller.was_cloned();
        Step::Wait(wait.woken_by(if outside {
            ExpectedWaker::Outside
        } else {
            by.unwrap_or(ExpectedWaker::Anyone)
        }))
    }

    /// Forgets what a step left that ended in a panic. What a step around it has left stays.
    #[cold]
    pub(crate) fn forget_panicked(&self) {
        if !self.is_entered() {
            self.forget();
        }
    }

    /// Forgets what was left.
    #[cold]
    pub(crate) fn forget(&self) {
        self.has_left.set(0);
        *self.left.borrow_mut() = Left::NOTHING;
    }
}

/// Does what was left by a callback, when that is over.
pub(crate) struct Catches<'a, 'd>(pub(crate) &'a RunContext<'d>);

impl Drop for Catches<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.0.catch_up();
    }
}

/// Sets the flag at the end of its life, by panic too.
struct Restore<'a> {
    cell: &'a Cell<bool>,
    to: bool,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.cell.set(self.to);
    }
}

/// Opens the door again at the end of its life.
struct Open<'a, 'd> {
    run_context: &'a RunContext<'d>,
    then: Host<'d>,
}

impl Drop for Open<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.run_context.ops.set(Some(self.then));
    }
}

/// Shuts the door at the end of its life.
struct Entered<'a, 'd>(&'a RunContext<'d>);

impl Drop for Entered<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.0.ops.set(None);
        self.0.caller.set(None);
    }
}

/// Goes on with the step around another when that is over.
struct Outer<'a, 'd> {
    run_context: &'a RunContext<'d>,
    step: Option<Suspended<'d>>,
}

impl Drop for Outer<'_, '_> {
    fn drop(&mut self) {
        if let Some(step) = self.step.take() {
            self.run_context.resume(step);
        }
    }
}

/// Ends the insisting, also by a panic.
pub(crate) struct Insists<'a> {
    insists: &'a Cell<bool>,
    before: bool,
}

impl Drop for Insists<'_> {
    fn drop(&mut self) {
        self.insists.set(self.before);
    }
}

/// A step in the middle of which another runs.
struct Suspended<'d> {
    ops: Option<Host<'d>>,
    caller: Option<NonNull<WakerState>>,
    kept: *const (),
    budget: u8,
    began_with: u8,
    withheld: u8,
    cancelled: bool,
    untold: bool,
    told: u8,
    insists: bool,
    has_left: u8,
    left: Left,
    deferred: DeferredQueue,
}

/// The mark for "no waker was kept". Null would not do: a waker that does nothing may have a null pointer.
const NO_WAKER: *const () = core::ptr::dangling();

/// The pointer, with nothing said of how long it is good for.
#[inline]
fn outlive<'d>(ops: &mut (dyn Ops<'d> + '_)) -> NonNull<dyn Ops<'d> + 'd> {
    let ops: NonNull<dyn Ops<'d> + '_> = NonNull::from(ops);
    // SAFETY: the types differ in a lifetime only. Only `with` uses the pointer, while `enter`, which has borrowed
    // what it points to, is running: at its end, by panic too, the cell is emptied.
    #[expect(unsafe_code, reason = "a cell that outlives the borrow can't name its lifetime")]
    unsafe {
        core::mem::transmute::<NonNull<dyn Ops<'d> + '_>, NonNull<dyn Ops<'d> + 'd>>(ops)
    }
}
