//! The waker of a task, for futures of other crates, which do not know the kernel.
//!
//! While a task runs, its waker is a view of its slot, which costs nothing to create. A future that keeps the waker
//! beyond the step clones it, and gets one of the host's [`Wakers`] instead.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::kernel::id::TaskId;
use crate::task::report::Reports;

/// A factory of wakers that can be kept for any time, on any thread.
///
/// The wakers of a native host put the task's id into a queue and interrupt the wait; the host then calls
/// [`Kernel::wake`](crate::Kernel::wake) with each id. [`Signals`](crate::task::Signals) are for hosts without a heap.
pub trait Wakers: Sync {
    /// Returns a waker for `task`, which [would wake](Waker::will_wake) the same task as the wakers returned before for
    /// it. Waking a task that has ended does nothing.
    fn waker(&self, task: TaskId) -> Waker;
}

/// Wakers for tasks that await only sinbin's own futures: a waker that is kept beyond a step does nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoWakers;

impl Wakers for NoWakers {
    fn waker(&self, _: TaskId) -> Waker {
        Waker::noop().clone()
    }
}

/// The wakers of a run context, and the receiver of its tasks' failures, behind a thin pointer.
pub(crate) struct Source<'d> {
    pub(crate) wakers: &'d (dyn Wakers + 'd),
    pub(crate) reports: Option<&'d (dyn Reports + 'd)>,
}

/// The budget at the beginning of a step. An operation subtracts one.
pub(crate) const FULL: u8 = u8::MAX;

/// The state of a task that its waker refers to.
///
/// A waker can be lent to other threads while the task runs, so all fields are shared between threads. Relaxed ordering
/// is sufficient: code that lends a waker to another thread has to synchronize the threads anyway.
pub(crate) struct WakerState {
    index: AtomicU32,
    generation: AtomicU32,
    /// True if the task is to run again at once.
    yields: AtomicBool,
    /// True if the task's waker was kept beyond a step, so that code outside of the task may have it.
    cloned: AtomicBool,
    /// True if the waker was kept, or the task is cancelled or has ended: its steps take the slow path.
    slow: AtomicBool,
    /// True if a proxy has waited for the task.
    #[cfg(feature = "alloc")]
    proxied: AtomicBool,
    /// True while another step runs within the task's own.
    suspended: AtomicBool,
    /// True if the combinator that the task began last polled its second future first.
    second_first: AtomicBool,
    /// The budget at the beginning of the task's next step: see [`RunContext`](crate::task::RunContext).
    pub(crate) budget: AtomicU8,
    /// The source of the task's wakers. It is valid while the task or a handle on it exists: each of these has a handle
    /// on the run context, which owns the source.
    wakers: AtomicPtr<Source<'static>>,
}

impl WakerState {
    pub(crate) const fn new() -> Self {
        Self {
            index: AtomicU32::new(u32::MAX),
            generation: AtomicU32::new(0),
            yields: AtomicBool::new(false),
            cloned: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            #[cfg(feature = "alloc")]
            proxied: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            second_first: AtomicBool::new(true),
            budget: AtomicU8::new(FULL),
            wakers: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Discards the state of the previous task, if any. The next task gets its wakers from `wakers`.
    pub(crate) fn reset(&self, wakers: &Source<'_>) {
        let wakers: NonNull<Source<'static>> = NonNull::from(wakers).cast();
        self.wakers.store(wakers.as_ptr(), Ordering::Relaxed);
        self.yields.store(false, Ordering::Relaxed);
        self.cloned.store(false, Ordering::Relaxed);
        self.slow.store(false, Ordering::Relaxed);
        #[cfg(feature = "alloc")]
        self.proxied.store(false, Ordering::Relaxed);
        self.second_first.store(true, Ordering::Relaxed);
        self.budget.store(FULL, Ordering::Relaxed);
        self.is(TaskId::from_bits(u64::MAX));
    }

    #[inline]
    pub(crate) fn is(&self, task: TaskId) {
        self.index.store(task.index, Ordering::Relaxed);
        self.generation.store(task.generation, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn task(&self) -> TaskId {
        TaskId::new(self.index.load(Ordering::Relaxed), self.generation.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn yields(&self) {
        self.yields.store(true, Ordering::Relaxed);
    }

    /// Returns true if the task yields, and clears the flag. (A swap would need an instruction that the smallest cores
    /// lack.)
    #[inline]
    pub(crate) fn take_yield(&self) -> bool {
        let yields = self.yields.load(Ordering::Relaxed);
        if yields {
            self.yields.store(false, Ordering::Relaxed);
        }
        yields
    }

    /// Returns true if the task's waker was kept, or if the task is cancelled or has ended. If false, the future
    /// exists.
    #[inline]
    pub(crate) fn needs_slow_path(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_slow(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    /// Returns true if a proxy has waited for the task.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxied.load(Ordering::Relaxed)
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn mark_proxied(&self) {
        self.proxied.store(true, Ordering::Relaxed);
        self.mark_slow();
    }

    /// Returns the receiver of the task's failure, if the task is not joined.
    ///
    /// # Safety
    ///
    /// The task, or a handle on it, must exist.
    #[expect(unsafe_code, reason = "the pointer has no lifetime")]
    pub(crate) unsafe fn reports(&self) -> Option<&dyn Reports> {
        // SAFETY: `reset` stored the pointer. It points into the run context, on which both the task and the handle
        // have a handle, so that it is valid while either of them exists.
        unsafe { self.wakers.load(Ordering::Relaxed).as_ref() }?.reports
    }

    pub(crate) fn suspend(&self, is_so: bool) {
        self.suspended.store(is_so, Ordering::Relaxed);
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn was_cloned(&self) -> bool {
        self.cloned.load(Ordering::Relaxed)
    }

    /// Returns true if `waker` is the one that [`lend`](Self::lend) creates.
    #[inline]
    pub(crate) fn is_behind(&self, waker: &Waker) -> bool {
        core::ptr::eq(waker.data(), core::ptr::from_ref(self).cast())
    }

    /// Creates a waker of the task for one step. Dropping the waker does nothing.
    ///
    /// # Safety
    ///
    /// The step must borrow this value and the wakers that [`reset`](Self::reset) was given. No code may get more of
    /// the waker than a reference that lives for the duration of the step.
    #[inline]
    #[expect(unsafe_code, reason = "the borrows are not in the waker's type")]
    pub(crate) unsafe fn lend(&self) -> ManuallyDrop<Waker> {
        let data = core::ptr::from_ref(self).cast();
        // SAFETY: the functions of the vtable convert the pointer back into the reference that it was made from, and
        // use the wakers; the caller guarantees that both are valid as long as the waker. `WakerState` and `Source` are
        // `Sync`, as other threads may use the waker.
        ManuallyDrop::new(unsafe { Waker::new(data, &LENT) })
    }
}

const _: () = {
    const fn is_sync<T: Sync>() {}
    is_sync::<WakerState>();
    is_sync::<Source<'_>>();
};

/// Returns true if a combinator that begins is to poll its second future first, which alternates between the
/// combinators of a task. A loop of selects therefore prefers neither of two futures that are always ready. With a
/// waker that is not the task's own, the first future is always first.
pub(crate) fn second_is_first(waker: &Waker) -> bool {
    if !core::ptr::eq(waker.vtable(), &LENT) {
        return false;
    }
    // SAFETY: only `lend` uses the vtable, and its caller guarantees that the waker, and with it the task, is valid
    // during the step.
    #[expect(unsafe_code, reason = "the waker's type does not name the task")]
    let caller = unsafe { caller(waker.data()) };
    let second_first = !caller.second_first.load(Ordering::Relaxed);
    caller.second_first.store(second_first, Ordering::Relaxed);
    second_first
}

/// The vtable of a waker that is lent for a step.
static LENT: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| {});

/// Returns the caller behind a lent waker.
///
/// # Safety
///
/// `data` must come from a waker that [`WakerState::lend`] created and that still exists.
#[expect(unsafe_code, reason = "see lend")]
unsafe fn caller<'a>(data: *const ()) -> &'a WakerState {
    // SAFETY: the caller of this function guarantees this.
    unsafe { &*data.cast::<WakerState>() }
}

#[expect(unsafe_code, reason = "the functions of a vtable are unsafe")]
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: only `lend` uses the vtable, and its caller guarantees that the wakers are valid.
    let (caller, wakers) = unsafe {
        let caller = caller(data);
        (caller, &*caller.wakers.load(Ordering::Relaxed))
    };
    caller.cloned.store(true, Ordering::Relaxed);
    caller.slow.store(true, Ordering::Relaxed);
    let waker = ManuallyDrop::new(wakers.wakers.waker(caller.task()));
    RawWaker::new(waker.data(), waker.vtable())
}

#[expect(unsafe_code, reason = "the functions of a vtable are unsafe")]
unsafe fn wake(data: *const ()) {
    // SAFETY: only `lend` uses the vtable.
    unsafe { caller(data) }.yields();
}
