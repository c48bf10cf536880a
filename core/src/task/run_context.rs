//! The run context, which connects tasks that are `async fn`s with the kernel (in curio, traps). It is open while such
//! a task runs. A future reaches its host through it, and registers its waits with it.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};

use crate::exec::buffers::BufferedBytes;
#[cfg(feature = "alloc")]
use crate::exec::label::Label;
use crate::exec::label::NamedWait;
use crate::job::erased::ErasedJob;
use crate::kernel::error::{Full, IoError};
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::interest::Interest;
use crate::kernel::step::{ExpectedWaker, MAX_WAITS, Step, Wait, WaitKey, WaitTarget, WakeReason};
use crate::kernel::wait_slot::WaitSlot;
use crate::task::alarms::Alarms;
use crate::task::deferred::{Deferred, DeferredQueue, defer};
use crate::task::error::WaitError;
#[cfg(feature = "alloc")]
use crate::task::part_wakers::PartWakers;
#[cfg(feature = "alloc")]
use crate::task::proxies::Proxies;
use crate::task::report::Reports;
#[cfg(feature = "alloc")]
use crate::task::report::UnjoinedFailure;
#[cfg(feature = "alloc")]
use crate::task::resolver::Resolver;
use crate::task::slot::Notice;
use crate::task::task_ref::Owned;
use crate::task::wakers::{FULL, Source, WakerState, Wakers};

/// The operations that a running future can request. [`Cx`](crate::Cx) performs them; the futures know neither the host
/// nor its storage.
pub(crate) trait Ops<'d> {
    fn clock(&self) -> Instant;
    /// Returns the time up to which deadlines have expired for the running task.
    fn seen(&mut self) -> Instant;
    fn wake_reason(&mut self) -> (WakeReason, WaitSlot);
    /// Forgets that the event of this slot woke the task, because its operation was attempted.
    fn use_up(&mut self, wait_slot: WaitSlot);
    fn peer(&self, source: SourceId) -> Option<SocketAddr>;
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError>;
    /// Receives up to `limit` bytes into the shared buffer. The flag is true if the read filled the buffer, or reached
    /// the limit.
    fn read(&mut self, source: SourceId, limit: usize) -> Result<(&[u8], bool), IoError>;
    /// Receives as many bytes as can be buffered, and keeps them. The flag is true if the read filled all the capacity
    /// that was available.
    fn read_kept(&mut self, source: SourceId) -> Result<(BufferedBytes, bool), IoError>;
    /// Receives as many bytes as can be buffered, sends them to `to`, and keeps those that are not accepted.
    fn forward(&mut self, from: SourceId, to: SourceId) -> Result<Forwarded, IoError>;
    fn send_kept(&mut self, to: SourceId, held: &BufferedBytes) -> Result<usize, IoError>;
    fn kept<'b>(&'b self, held: &'b BufferedBytes) -> &'b [u8];
    fn give_back(&mut self, block: u32);
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError>;
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError>;
    fn close(&mut self, source: SourceId);
    fn listen(&mut self, address: SocketAddr) -> Result<(SourceId, SocketAddr), IoError>;
    fn bound(&mut self, listener: SourceId) -> Option<Result<SocketAddr, IoError>>;
    fn take(&mut self, listener: SourceId) -> Result<(SourceId, Option<SocketAddr>), IoError>;
    fn connect(&mut self, address: SocketAddr) -> Result<SourceId, IoError>;
    #[cfg(feature = "alloc")]
    fn connect_name(&mut self, host: &str, port: u16) -> Result<SourceId, IoError>;
    fn connected(&mut self, source: SourceId) -> Result<(), IoError>;
    /// Calls `attempt` with the object of the source.
    fn operate(
        &mut self,
        source: SourceId,
        interest: Interest,
        attempt: &mut dyn FnMut(&dyn Any) -> Result<(), IoError>,
    ) -> Result<(), IoError>;
    fn connect_path(&mut self, path: &str) -> Result<SourceId, IoError>;
    fn listen_path(&mut self, path: &str) -> Result<SourceId, IoError>;
    #[cfg(feature = "alloc")]
    fn resolver(&self) -> Option<alloc::sync::Arc<dyn Resolver>>;
    /// Stores the connection in `connection`, an `Option` of a type that the host knows.
    fn adopt(&mut self, connection: &mut dyn Any) -> Result<SourceId, IoError>;
    /// Returns true if the loop is to stop. Otherwise the running task is woken by name when it is.
    fn is_stopping(&mut self) -> bool;
    fn stop(&mut self) -> Result<(), IoError>;
    #[cfg(feature = "alloc")]
    fn has_room(&self) -> bool;
    /// Spawns the task on the loop of `run_context`, if the kernel has a slot for it.
    fn spawn(&mut self, run_context: &'d RunContext<'d>, task: &mut Option<Owned<'d>>) -> TaskId;
    fn wake(&mut self, task: TaskId) -> bool;
    #[cfg(not(feature = "alloc"))]
    fn wake_all(&mut self);
    fn cancel(&mut self, task: TaskId) -> bool;
    /// Notifies the host of the named synchronizer that a task waits for from now on.
    #[cfg(feature = "alloc")]
    fn name_wait(&mut self, task: TaskId, wait: Option<NamedWait>);
    /// Submits a job that computes, or one that `blocks`.
    fn submit_job(&mut self, job: &mut dyn ErasedJob, blocks: bool) -> Result<JobId, Full>;
    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool;
    fn has_job(&self, id: JobId) -> bool;
    fn cancel_job(&mut self, id: JobId);
}

/// The result of [`Ops::forward`].
pub(crate) struct Forwarded {
    pub(crate) received: usize,
    /// True if the read filled all the capacity that was available.
    pub(crate) is_cut: bool,
    /// The number of bytes that were sent.
    pub(crate) sent: Result<usize, IoError>,
    /// The bytes that were not sent.
    pub(crate) rest: BufferedBytes,
}

impl Deferred {
    /// Performs the operation. Returns true if its target existed.
    fn act<'d>(self, ops: &mut dyn Ops<'d>) -> bool {
        match self {
            Self::Close(source) => {
                ops.close(source);
                true
            }
            #[cfg(feature = "alloc")]
            Self::Shutdown(source) => ops.shutdown(source).is_ok(),
            Self::Wake(task) => ops.wake(task),
            Self::CancelJob(job) => {
                ops.cancel_job(job);
                true
            }
            Self::GiveBack(block) => {
                ops.give_back(block);
                true
            }
            #[cfg(feature = "alloc")]
            Self::NameWait(task, wait) => {
                ops.name_wait(task, wait);
                true
            }
            #[cfg(not(feature = "alloc"))]
            Self::WakeAll => {
                ops.wake_all();
                true
            }
        }
    }
}

/// The host of the current step.
type Host<'d> = NonNull<dyn Ops<'d> + 'd>;

/// The number of operations that a task can do in one step; then it yields, so that other tasks can run (promise 3).
const BUDGET: u8 = 32;

/// The budget when it is spent. Each further operation that is refused still subtracts one, so that refused operations
/// are counted.
const SPENT: u8 = FULL - BUDGET;

/// Up to this value, the budget is the number of operations that stand back before the budget becomes [`FULL`]; at 0,
/// every operation is refused.
///
/// Several futures of one task share the task's budget, and they may be polled in the same order each time. If the
/// first future always took the whole budget, the futures that are refused after it would starve. In the next step,
/// therefore, the first operation stands back, and the second future gets the budget; in the step after that, the first
/// two stand back, and so on, until no future is refused. Every future that can make progress is the first to use the
/// budget once in as many steps as there are futures, whatever polls them.
const MAX_STAND_BACK: u8 = 127;

/// The number of times in one step that a cancelled task is notified before it is ended because it ignores the
/// cancellation.
const PATIENCE: u8 = 64;

const YIELDS: u8 = 1;
const WAITS: u8 = 2;

/// The run context: where the tasks of one loop meet their kernel.
///
/// Create it before everything that tasks borrow, and pass a [`Handle`](crate::task::Handle) on it to each task. It is
/// closed while no task of its loop runs: an operation then fails with [`WaitError::Elsewhere`], as it does in a task of
/// another kernel.
pub struct RunContext<'d> {
    ops: Cell<Option<Host<'d>>>,
    /// The running task, as its waker knows it; `None` between steps.
    caller: Cell<Option<NonNull<WakerState>>>,
    pub(crate) source: Source<'d>,
    /// The data pointer of the waker that was last lent to a task which has kept a waker before. It identifies that
    /// waker.
    kept: Cell<*const ()>,
    /// The number of the step in progress, by which a future knows whether its wait is of this step.
    step: Cell<u32>,
    /// The number of steps so far, modulo 2^32.
    steps: Cell<u32>,
    budget: Cell<u8>,
    /// The budget at the beginning of the step.
    began_with: Cell<u8>,
    /// The budget that is withheld until the running task is notified of its cancellation.
    withheld: Cell<u8>,
    /// True if the running task is cancelled and not shielded.
    cancelled: Cell<bool>,
    /// True until the running task is notified of its cancellation: its next operation fails, whether it would wait or
    /// not.
    untold: Cell<bool>,
    /// The number of times that the running task was notified of its cancellation in this step.
    told: Cell<u8>,
    /// True if a deadline has expired: operations are attempted once more, whatever woke the task.
    insists: Cell<bool>,
    /// The time that the clock showed at the last reading.
    last_clock: Cell<Instant>,
    /// Flags of the current step: whether the task [`YIELDS`], and whether it [`WAITS`] for the targets in `left`.
    has_left: Cell<u8>,
    left: RefCell<Left>,
    /// The deadlines that executors within tasks wait for.
    alarms: RefCell<Alarms>,
    /// The waits that proxies make.
    #[cfg(feature = "alloc")]
    proxies: RefCell<Proxies>,
    /// True if `proxies` is not empty.
    #[cfg(feature = "alloc")]
    has_proxies: Cell<bool>,
    /// The wakers of parts of tasks that wait to be woken by name.
    #[cfg(feature = "alloc")]
    part_wakers: RefCell<PartWakers>,
    /// True if `part_wakers` is not empty.
    #[cfg(feature = "alloc")]
    has_parts: Cell<bool>,
    /// The names of what tasks wait for, for reports.
    #[cfg(feature = "alloc")]
    named_waits: RefCell<alloc::collections::BTreeMap<TaskId, alloc::vec::Vec<NamedWait>>>,
    /// Operations that were requested within a callback that borrows the host. They are performed when it returns.
    deferred: RefCell<DeferredQueue>,
    /// True if `deferred` is not empty.
    has_deferred: Cell<bool>,
    /// The number of tasks that have ended, which may wrap around.
    #[cfg(not(feature = "alloc"))]
    ends: Cell<u32>,
}

/// The waits that the running task has registered.
struct Left {
    wait: Wait,
    /// The number of futures that wait for each target.
    times: [u8; MAX_WAITS],
    by: Option<ExpectedWaker>,
}

impl Left {
    const NOTHING: Self = Self { wait: Wait::wake(), times: [0; MAX_WAITS], by: None };

    /// Adds a future's wait for a target. Returns false if the task waits for too many others.
    #[inline]
    fn add(&mut self, what: WaitKey) -> bool {
        for (key, times) in self.wait.targets.iter_mut().zip(&mut self.times) {
            if key.wait_slot == WaitSlot::NONE {
                *key = what;
            }
            if *key == what {
                *times = times.saturating_add(1);
                return true;
            }
        }
        false
    }
}

impl<'d> RunContext<'d> {
    /// Creates a closed run context. Its tasks' wakers that outlive a step come from `wakers`.
    #[must_use]
    pub const fn new(wakers: &'d (dyn Wakers + 'd)) -> Self {
        Self::with_source(Source { wakers, reports: None })
    }

    /// Creates a closed run context, as [`new`](Self::new) does, that reports to `reports` the tasks which fail and are
    /// not joined.
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
            step: Cell::new(0),
            steps: Cell::new(0),
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
            #[cfg(feature = "alloc")]
            proxies: RefCell::new(Proxies::new()),
            #[cfg(feature = "alloc")]
            has_proxies: Cell::new(false),
            #[cfg(feature = "alloc")]
            part_wakers: RefCell::new(PartWakers::new()),
            #[cfg(feature = "alloc")]
            has_parts: Cell::new(false),
            #[cfg(feature = "alloc")]
            named_waits: RefCell::new(alloc::collections::BTreeMap::new()),
            deferred: RefCell::new(DeferredQueue::new()),
            has_deferred: Cell::new(false),
            #[cfg(not(feature = "alloc"))]
            ends: Cell::new(0),
        }
    }

    /// Counts the end of a task, and returns its number. Groups without a heap sort ends by it.
    #[cfg(not(feature = "alloc"))]
    pub(crate) fn end_number(&self) -> u32 {
        self.ends.set(self.ends.get().wrapping_add(1));
        self.ends.get()
    }

    /// Returns the number of tasks that ended after the one with this number.
    #[cfg(not(feature = "alloc"))]
    pub(crate) fn ends_since(&self, number: u32) -> u32 {
        self.ends.get().wrapping_sub(number)
    }

    /// Returns true if a step is in progress. User code can run a loop with this run context anywhere, even within such
    /// a step.
    #[inline]
    pub(crate) fn is_entered(&self) -> bool {
        self.caller.get().is_some()
    }

    /// Runs `body`, a step of the task `caller`, with the run context open to `ops`. No other step may be in progress.
    #[inline]
    pub(crate) fn enter_alone<R>(
        &self,
        ops: &mut (dyn Ops<'d> + '_),
        caller: &WakerState,
        body: impl FnOnce() -> R,
    ) -> R {
        debug_assert!(!self.is_entered(), "the outer step would lose its state");
        self.open(Some(outlive(ops)), caller, body)
    }

    /// Runs `body` as [`enter_alone`](Self::enter_alone) does, but also within another step, which is resumed
    /// afterwards.
    pub(crate) fn enter<R>(
        &self,
        ops: &mut (dyn Ops<'d> + '_),
        caller: &WakerState,
        body: impl FnOnce() -> R,
    ) -> R {
        let mut outer = Outer { run_context: self, step: None };
        // Assigned in place: a step that is seldom there would be copied each time.
        if self.is_entered() {
            outer.step = Some(self.suspend());
        }
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
        let step = self.steps.get().wrapping_add(1);
        self.steps.set(step);
        self.step.set(step);
        body()
    }

    /// Runs `body`, which ends the task `caller`, as a step of that task. If a step is in progress, this step is nested
    /// in it.
    pub(crate) fn step_within(&self, caller: &WakerState, body: impl FnOnce()) {
        if !self.is_entered() {
            return body();
        }
        let outer = self.suspend();
        // The outer step does not use the host before the inner step has ended.
        let ops = outer.ops;
        let _outer = Outer { run_context: self, step: Some(outer) };
        self.open(ops, caller, body);
    }

    /// Returns true if a step of the task `caller` is in progress.
    pub(crate) fn is_within_step_of(&self, caller: &WakerState) -> bool {
        let is_running = self.caller.get().is_some_and(|running| core::ptr::eq(running.as_ptr(), caller));
        is_running || caller.is_suspended()
    }

    fn mark_suspended(&self, is_so: bool) {
        if let Some(caller) = self.caller.get() {
            // SAFETY: `enter` and `step_within` borrow the caller until they remove the pointer from the cell or put it
            // back there.
            #[expect(unsafe_code, reason = "the borrow's lifetime is not in the type of the cell")]
            unsafe {
                caller.as_ref().suspend(is_so);
            }
        }
    }

    /// Takes the state of the step that is in progress.
    #[cold]
    fn suspend(&self) -> Suspended<'d> {
        self.mark_suspended(true);
        Suspended {
            ops: self.ops.take(),
            caller: self.caller.take(),
            kept: self.kept.replace(NO_WAKER),
            step: self.step.get(),
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

    /// Resumes a suspended step.
    #[cold]
    fn resume(&self, step: Suspended<'d>) {
        let Suspended {
            ops,
            caller,
            kept,
            step,
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
        self.step.set(step);
        self.budget.set(budget);
        self.began_with.set(began_with);
        self.withheld.set(withheld);
        self.cancelled.set(cancelled);
        self.untold.set(untold);
        self.told.set(told);
        self.insists.set(insists);
        self.has_left.set(has_left);
        self.left.replace(left);
        // A task that was ended within a callback defers its operations to the end of that callback.
        let within = self.deferred.replace(deferred);
        within.into_iter().for_each(|what| defer(&mut self.deferred.borrow_mut(), what));
        self.has_deferred.set(!self.deferred.borrow().is_empty());
        self.mark_suspended(false);
    }

    /// Calls `act` with the host. Fails with [`WaitError::Elsewhere`] while the run context is closed.
    #[inline]
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut dyn Ops<'d>) -> R) -> Result<R, WaitError> {
        let mut ops = self.ops.take().ok_or(WaitError::Elsewhere)?;
        // While `act` runs the run context is closed, so that no other code reaches the host that `act` borrows.
        let _open = Open { run_context: self, then: ops };
        // SAFETY: the pointer was made from an exclusive borrow that `enter` holds while the pointer is in the cell,
        // and the pointer was just taken out of the cell: no other code has it.
        #[expect(unsafe_code, reason = "the borrow's lifetime is not in the type of the cell")]
        Ok(act(unsafe { ops.as_mut() }))
    }

    /// Performs an operation that can't fail, now or when the callback that borrows the host returns. Outside of all
    /// tasks the operation is not performed; a host that is dropped closes its sources anyway.
    #[inline]
    pub(crate) fn give_back(&self, what: Deferred) -> bool {
        self.with(|ops| what.act(ops)).unwrap_or_else(|_| self.defer(what))
    }

    #[cold]
    fn defer(&self, what: Deferred) -> bool {
        let is_taken = self.is_entered();
        if is_taken {
            defer(&mut self.deferred.borrow_mut(), what);
            self.has_deferred.set(true);
        }
        is_taken
    }

    /// Performs the operations that a callback has deferred.
    #[inline]
    pub(crate) fn catch_up(&self) {
        if self.has_deferred.get() {
            self.catch_up_now();
        }
    }

    #[cold]
    fn catch_up_now(&self) {
        // If this callback runs within another one, the operations are performed at the end of the outer callback.
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

    /// Returns true if a task of this run context runs and no callback borrows the host.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.ops.get().is_some()
    }

    /// Returns the running task, while the run context is open.
    #[inline]
    pub(crate) fn caller(&self) -> Option<&WakerState> {
        let caller = self.caller.get().filter(|_| self.is_open())?;
        // SAFETY: `enter` borrows the caller as long as the run context is open, and all code that gets the reference
        // runs within that time. (Only this crate could keep the reference for longer, and no code in it does.)
        #[expect(unsafe_code, reason = "the borrow's lifetime is not in the type of the cell")]
        Some(unsafe { caller.as_ref() })
    }

    /// Returns why the task runs, and the slot of the wait that woke it, if one did. While the run context is closed,
    /// the reason is that the task was spawned.
    pub(crate) fn wake_reason(&self) -> (WakeReason, WaitSlot) {
        self.with(|ops| ops.wake_reason()).unwrap_or((WakeReason::Spawned, WaitSlot::NONE))
    }

    /// Forgets that the event of this slot woke the task.
    pub(crate) fn use_up(&self, wait_slot: WaitSlot) {
        self.with(|ops| ops.use_up(wait_slot)).ok();
    }

    /// Returns the time up to which deadlines have expired for the running task, or [`Instant::ZERO`] while the run
    /// context is closed.
    #[inline]
    pub(crate) fn seen(&self) -> Instant {
        self.with(|ops| ops.seen()).unwrap_or(Instant::ZERO)
    }

    /// Returns the time at the last reading of the clock.
    pub(crate) fn last_clock(&self) -> Instant {
        self.last_clock.get()
    }

    #[inline]
    pub(crate) fn set_last_clock(&self, now: Instant) {
        self.last_clock.set(now);
    }

    /// Returns true if operations are to be attempted although no source has been reported ready.
    #[inline]
    pub(crate) fn insists(&self) -> bool {
        self.insists.get()
    }

    /// Makes operations be attempted once more until the guard is dropped, because their deadline has expired.
    #[cold]
    pub(crate) fn insist(&self) -> Insists<'_> {
        Insists { insists: &self.insists, before: self.insists.replace(true) }
    }

    /// Returns true if the task may do another operation in this step. Otherwise the task yields; a cancelled task is
    /// refused instead, because it must not wait. While the run context is closed this returns true, and the operation
    /// itself fails.
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

    /// Counts an operation that stands back, or that was refused because the budget is spent, and determines how many
    /// operations stand back in the next step.
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
                // This is the second refused operation: its future has received nothing of the budget.
                if rest == SPENT - 1 {
                    let stood_back = if began_with == FULL { 0 } else { began_with };
                    caller.budget.store((stood_back + 1).min(MAX_STAND_BACK), Ordering::Relaxed);
                }
            }
        }
    }

    /// Returns a waker for a task that may have kept one before. The new waker wakes the same task, as `will_wake`
    /// shows. (Some futures that keep a waker wake it when they receive a different one.)
    #[cold]
    pub(crate) fn kept_waker(&self, caller: &WakerState) -> Waker {
        let waker = self.source.wakers.waker(caller.task());
        self.kept.set(waker.data());
        waker
    }

    /// Forgets the waker that was lent to a task which may have kept one. That waker is dropped, and another one may
    /// get the same address.
    #[cold]
    pub(crate) fn forget_kept_waker(&self) {
        self.kept.set(NO_WAKER);
    }

    /// Returns true if `waker` is the one that was lent to the running task.
    #[inline]
    fn lends(&self, caller: &WakerState, waker: &Waker) -> bool {
        caller.is_behind(waker) || waker.data() == self.kept.get()
    }

    /// Makes the running task run again at once. An executor within the task, which the kernel does not know, is woken
    /// too.
    #[inline]
    pub(crate) fn yields(&self, context: &Context<'_>) {
        self.has_left.set(self.has_left.get() | YIELDS);
        self.keep_awake(context);
    }

    /// Makes the running task run again at once, at the end of its step.
    #[cfg(feature = "alloc")]
    pub(crate) fn yields_beside(&self) {
        self.has_left.set(self.has_left.get() | YIELDS);
    }

    #[inline]
    fn keep_awake(&self, context: &Context<'_>) {
        let data = context.waker().data();
        // Compares only pointers, which also works while a callback borrows the host.
        let is_lent = self.caller.get().is_some_and(|caller| core::ptr::eq(caller.as_ptr().cast(), data));
        if !is_lent && data != self.kept.get() {
            context.waker().wake_by_ref();
        }
    }

    /// Reports that the running task has failed, if the run context has `reports`.
    #[cfg(feature = "alloc")]
    pub(crate) fn report(&self, label: &Label, error: &dyn core::fmt::Display) {
        let Some(reports) = self.source.reports else { return };
        let task = self.caller().map_or(TaskId::from_bits(u64::MAX), WakerState::task);
        let was_cancelled = self.is_cancelled();
        reports.failed(&UnjoinedFailure { task, label: *label, error, was_cancelled });
    }

    /// Cancels a task. Returns true if the task exists.
    pub(crate) fn cancel(&self, task: TaskId) -> bool {
        if !self.cancelled.get() && self.caller().map(WakerState::task) == Some(task) {
            // The task's next operation yields, and the task is notified in its next step.
            self.budget.set(0);
        }
        self.with(|ops| ops.cancel(task)).unwrap_or(false)
    }

    /// Wakes a task whose future has been dropped, so that the kernel notices its end. Also works outside of all tasks.
    pub(crate) fn wake_ended(&self, task: TaskId) {
        if !self.is_entered() {
            self.source.wakers.waker(task).wake();
        }
        self.give_back(Deferred::Wake(task));
    }

    /// Runs `body`, a step of a task that is cancelled if `is_so` is true. `notice` records whether the task has been
    /// notified, and is updated.
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

    /// Returns true if the running task is cancelled and not shielded.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Returns true if the task was notified of its cancellation in this step, and has not ignored it too often.
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
        // The task is notified at its next wait outside of the shield. Until then, a wait within the shield does not
        // count as ignoring the cancellation.
        self.told.set(self.told.get().max(1));
        result
    }

    /// Withholds the budget until the task is notified of its cancellation. The fast path checks for an empty budget in
    /// any case, so that no further check is needed there.
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

    /// Notifies the task of its cancellation.
    fn tell(&self) -> WaitError {
        self.hand_out();
        self.untold.set(false);
        self.told.set(self.told.get().saturating_add(1));
        WaitError::Cancelled
    }

    /// Registers a future's wait for `what`. Returns pending unless the future must not wait: because the task is
    /// cancelled or waits for too many targets, or because an executor within the task polls the future and would not
    /// notice the kernel's wake.
    #[inline]
    pub(crate) fn leave(&self, what: WaitTarget, context: &Context<'_>) -> Poll<WaitError> {
        if let Err(refused) = self.may_wait(context) {
            return self.refuse(refused);
        }
        let what = WaitKey::new(what);
        #[cfg(feature = "alloc")]
        if self.has_proxies.get() {
            return self.leave_beside_proxies(what);
        }
        self.leave_own(what)
    }

    /// Registers the wait of a future that the task itself polls.
    #[inline]
    fn leave_own(&self, what: WaitKey) -> Poll<WaitError> {
        self.has_left.set(self.has_left.get() | WAITS);
        if self.left.borrow_mut().add(what) { Poll::Pending } else { Poll::Ready(WaitError::TooMany) }
    }

    /// Registers a wait as [`leave_own`](Self::leave_own) does. Of two waits for one target, that of the task and that of
    /// a proxy, the kernel would refuse one.
    #[cfg(feature = "alloc")]
    #[cold]
    fn leave_beside_proxies(&self, what: WaitKey) -> Poll<WaitError> {
        if self.shares_proxy(what) {
            return Poll::Ready(WaitError::TooMany);
        }
        let left = self.leave_own(what);
        if left.is_pending() {
            self.replace_proxy(what);
        }
        left
    }

    /// The table of the waits that proxies make.
    #[cfg(feature = "alloc")]
    pub(crate) const fn proxies(&self) -> &RefCell<Proxies> {
        &self.proxies
    }

    /// Returns true if a proxy waits, or has an outcome that was not taken yet.
    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn has_proxies(&self) -> bool {
        self.has_proxies.get()
    }

    #[cfg(feature = "alloc")]
    pub(crate) const fn part_wakers(&self) -> &RefCell<PartWakers> {
        &self.part_wakers
    }

    #[cfg(feature = "alloc")]
    pub(crate) const fn has_parts(&self) -> &Cell<bool> {
        &self.has_parts
    }

    /// Updates the flag after a change of the table.
    #[cfg(feature = "alloc")]
    pub(crate) fn mark_proxies(&self) {
        self.has_proxies.set(!self.proxies.borrow().is_empty());
    }

    /// Returns the number of the step in progress.
    #[inline]
    pub(crate) fn step_number(&self) -> u32 {
        self.step.get()
    }

    /// Withdraws the wait for `what` that a dropped future has registered in the step `step`. In a later step, that wait
    /// is no longer registered, and a wait for `what` is another future's.
    pub(crate) fn retract(&self, what: WaitTarget, step: u32) {
        #[cfg(feature = "alloc")]
        if self.has_proxies.get() {
            self.retract_proxy(WaitKey::new(what), step);
        }
        if step == self.step.get() {
            self.remove_left(WaitKey::new(what), 1);
        }
    }

    /// Removes up to `most` registrations of futures of the running task that wait for `what`. Returns their number.
    pub(crate) fn remove_left(&self, what: WaitKey, most: u8) -> u8 {
        let mut left = self.left.borrow_mut();
        let Some(at) = left.wait.targets.iter().position(|key| *key == what).filter(|at| left.times[*at] > 0)
        else {
            return 0;
        };
        let removed = left.times[at].min(most);
        left.times[at] -= removed;
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
        removed
    }

    /// Registers a future's wait to be woken by name.
    pub(crate) fn leave_named(&self, by: ExpectedWaker, context: &Context<'_>) -> Poll<WaitError> {
        if let Err(refused) = self.may_wait(context) {
            // Wakes from outside of the loop reach no part of a task.
            #[cfg(feature = "alloc")]
            if refused == WaitError::Wrapped && by != ExpectedWaker::Outside && self.keep_part(context) {
                return Poll::Pending;
            }
            return self.refuse(refused);
        }
        self.has_left.set(self.has_left.get() | WAITS);
        let mut left = self.left.borrow_mut();
        // If several tasks could end the wait, no single one of them is recorded.
        left.by = Some(if left.by.is_none_or(|before| before == by) { by } else { ExpectedWaker::Anyone });
        Poll::Pending
    }

    /// Records the name of what a task waits for, and notifies the host. Without a heap, reports have no names.
    #[cold]
    pub(crate) fn enter_wait(&self, task: TaskId, wait: NamedWait) {
        #[cfg(feature = "alloc")]
        {
            self.named_waits.borrow_mut().entry(task).or_default().push(wait);
            self.give_back(Deferred::NameWait(task, Some(wait)));
        }
        #[cfg(not(feature = "alloc"))]
        let _ = (task, wait);
    }

    /// Forgets the name of what a task has waited for, and notifies the host.
    #[cold]
    pub(crate) fn leave_wait(&self, task: TaskId, wait: NamedWait) {
        #[cfg(feature = "alloc")]
        {
            if let alloc::collections::btree_map::Entry::Occupied(mut waits) =
                self.named_waits.borrow_mut().entry(task)
            {
                if let Some(at) = waits.get().iter().rposition(|entered| *entered == wait) {
                    waits.get_mut().remove(at);
                }
                if waits.get().is_empty() {
                    waits.remove();
                }
            }
            self.give_back(Deferred::NameWait(task, self.named_wait(task)));
        }
        #[cfg(not(feature = "alloc"))]
        let _ = (task, wait);
    }

    /// Returns the name of what the task waits for; of several, the one whose wait began last.
    pub(crate) fn named_wait(&self, task: TaskId) -> Option<NamedWait> {
        #[cfg(feature = "alloc")]
        return self.named_waits.borrow().get(&task)?.last().copied();
        #[cfg(not(feature = "alloc"))]
        return {
            let _ = task;
            None
        };
    }

    /// Registers a future's wait for a deadline, which is not [`Instant::NEVER`]: a wait without a deadline would look
    /// like one that nothing can end. A cancelled task is not notified here; it is ended where it stands. Returns false
    /// if the future is not polled directly by a task of this run context, because the deadline would not wake such a
    /// future.
    #[inline]
    pub(crate) fn leave_deadline(&self, moment: Instant, context: &Context<'_>) -> bool {
        let Some(caller) = self.caller() else { return false };
        self.has_left.set(self.has_left.get() | WAITS);
        let mut left = self.left.borrow_mut();
        left.wait.deadline = left.wait.deadline.min(moment);
        self.lends(caller, context.waker())
    }

    /// Keeps the waker of an executor within the running task until `moment`. `number` is the entry's present number,
    /// or 0, and becomes its new number.
    #[cold]
    pub(crate) fn keep_alarm(&self, number: &mut u32, moment: Instant, waker: &Waker) {
        let before = self.drop_alarm(*number);
        // The waker's functions are user code: none is called while the table of alarms is borrowed.
        let waker = before.filter(|before| before.will_wake(waker)).unwrap_or_else(|| waker.clone());
        let Some(caller) = self.caller() else { return waker.wake() };
        // From here on, the task's steps check for alarms.
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

    /// Removes the waker that was kept under the number, and returns it.
    #[cold]
    pub(crate) fn drop_alarm(&self, number: u32) -> Option<Waker> {
        self.alarms.borrow_mut().remove(number)
    }

    /// Wakes the parts of the running task whose deadlines have expired.
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

    /// Wakes the parts of a task that has ended: they may be polled by another task from now on.
    #[inline]
    pub(crate) fn ring_all(&self, task: TaskId) {
        if !self.alarms.borrow().is_empty() {
            self.ring_all_now(task);
        }
    }

    #[cold]
    fn ring_all_now(&self, task: TaskId) {
        loop {
            let waker = {
                let mut alarms = self.alarms.borrow_mut();
                alarms.first(task).and_then(|(_, number)| alarms.remove(number))
            };
            let Some(waker) = waker else { break };
            waker.wake();
        }
    }

    /// Registers the next deadline that a part of the running task waits for.
    pub(crate) fn leave_alarms(&self, task: TaskId) {
        if let Some((at, _)) = self.alarms.borrow().first(task) {
            self.has_left.set(self.has_left.get() | WAITS);
            let mut left = self.left.borrow_mut();
            left.wait.deadline = left.wait.deadline.min(at);
        }
    }

    /// Returns true if the waker is that of an executor within the running task.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_of_part(&self, context: &Context<'_>) -> bool {
        self.caller().is_some_and(|caller| !self.lends(caller, context.waker()))
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

    /// Refuses an operation. A task that has been notified of its cancellation too often is left pending, so that it
    /// can be ended.
    #[cold]
    fn refuse(&self, refused: WaitError) -> Poll<WaitError> {
        if self.told.get() >= PATIENCE { Poll::Pending } else { Poll::Ready(refused) }
    }

    /// Returns the step that results from the waits which the futures of `caller` have registered.
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
            // A task that yields and also waits gets an expired deadline: it runs in the next turn, after the sources
            // were polled.
            wait.deadline = Instant::ZERO;
        }
        // A task that is pending without a registered wait waits for code outside of the kernel to use its waker.
        let outside = has_left & WAITS == 0 || caller.was_cloned();
        Step::Wait(wait.woken_by(if outside {
            ExpectedWaker::Outside
        } else {
            by.unwrap_or(ExpectedWaker::Anyone)
        }))
    }

    /// Discards the registrations of a step that panicked. The registrations of an outer step are kept.
    #[cold]
    pub(crate) fn forget_panicked(&self) {
        if !self.is_entered() {
            self.forget();
        }
    }

    /// Discards all registrations.
    #[cold]
    pub(crate) fn forget(&self) {
        self.has_left.set(0);
        *self.left.borrow_mut() = Left::NOTHING;
    }
}

/// A guard that performs the operations which a callback has deferred, when the callback ends.
pub(crate) struct Catches<'a, 'd>(pub(crate) &'a RunContext<'d>);

impl Drop for Catches<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.0.catch_up();
    }
}

/// A guard that sets the flag, even during a panic.
struct Restore<'a> {
    cell: &'a Cell<bool>,
    to: bool,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.cell.set(self.to);
    }
}

/// A guard that opens the run context again.
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

/// A guard that closes the run context.
struct Entered<'a, 'd>(&'a RunContext<'d>);

impl Drop for Entered<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.0.ops.set(None);
        self.0.caller.set(None);
    }
}

/// A guard that resumes the outer step when the inner step has ended.
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

/// A guard that restores the flag, even during a panic.
pub(crate) struct Insists<'a> {
    insists: &'a Cell<bool>,
    before: bool,
}

impl Drop for Insists<'_> {
    fn drop(&mut self) {
        self.insists.set(self.before);
    }
}

/// The state of a step while another one runs within it.
struct Suspended<'d> {
    ops: Option<Host<'d>>,
    caller: Option<NonNull<WakerState>>,
    kept: *const (),
    step: u32,
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

/// The mark for "no waker was kept". A null pointer is not suitable: a no-op waker may have a null data pointer.
const NO_WAKER: *const () = core::ptr::dangling();

/// Extends the lifetime of the pointer, which no longer says how long the pointer is valid.
#[inline]
fn outlive<'d>(ops: &mut (dyn Ops<'d> + '_)) -> NonNull<dyn Ops<'d> + 'd> {
    let ops: NonNull<dyn Ops<'d> + '_> = NonNull::from(ops);
    // SAFETY: the types differ only in a lifetime. Only `with` uses the pointer, and only while `enter` runs, which has
    // borrowed the target: at the end of `enter`, even by a panic, the cell is emptied.
    #[expect(unsafe_code, reason = "a cell that outlives the borrow can't name its lifetime")]
    unsafe {
        core::mem::transmute::<NonNull<dyn Ops<'d> + '_>, NonNull<dyn Ops<'d> + 'd>>(ops)
    }
}
