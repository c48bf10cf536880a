//! The waker of a task: for futures of other crates, which know nothing of the kernel.
//!
//! While a task runs, its waker is a view of its slot, which costs nothing to make. Who keeps it beyond the step
//! clones it, and gets one of the host's [`Wakers`] then.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::kernel::id::TaskId;
use crate::task::report::Reports;

/// Makes wakers that live as long as somebody has them, on any thread.
///
/// A native host's put the task's id into a queue and interrupt the wait; the host takes the ids out and calls
/// [`Kernel::wake`](crate::Kernel::wake) with each. [`Signals`](crate::task::Signals) are for hosts without a heap.
pub trait Wakers: Sync {
    /// A waker for `task`, which [would wake](Waker::will_wake) the same task as the ones before. To wake one that is
    /// gone does nothing.
    fn waker(&self, task: TaskId) -> Waker;
}

/// For tasks that await nothing but sinbin's own futures: a waker that is kept beyond a step does nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoWakers;

impl Wakers for NoWakers {
    fn waker(&self, _: TaskId) -> Waker {
        Waker::noop().clone()
    }
}

/// The wakers of a door, and who hears of its tasks' failures, behind a thin pointer.
pub(crate) struct Source<'d> {
    pub(crate) wakers: &'d (dyn Wakers + 'd),
    pub(crate) reports: Option<&'d (dyn Reports + 'd)>,
}

/// The budget at the beginning of a step; an operation takes one of it.
pub(crate) const FULL: u8 = u8::MAX;

/// What a task's waker knows of it.
///
/// A waker can be lent to other threads while the task runs, so that everything here is shared between threads.
/// Relaxed order is enough: whoever lends it has to order the threads anyway.
pub(crate) struct WakerState {
    index: AtomicU32,
    generation: AtomicU32,
    /// It is to run again at once.
    yields: AtomicBool,
    /// Its waker was kept beyond a step: somebody outside may have it.
    cloned: AtomicBool,
    /// That, or it is cancelled, or over: its steps are not the usual ones.
    slow: AtomicBool,
    /// Whether another step runs in the middle of the task's own.
    suspended: AtomicBool,
    /// The last combinator that the task began has looked at its second future first.
    second_first: AtomicBool,
    /// The budget that its next step begins with: see [`RunContext`](crate::task::RunContext).
    pub(crate) budget: AtomicU8,
    /// Where its wakers come from; good while the task or a handle on it is there, each of which has one on the door.
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
            suspended: AtomicBool::new(false),
            second_first: AtomicBool::new(true),
            budget: AtomicU8::new(FULL),
            wakers: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Forgets the task before, if there was one. The next has its wakers from `wakers`.
    pub(crate) fn reset(&self, wakers: &Source<'_>) {
        let wakers: NonNull<Source<'static>> = NonNull::from(wakers).cast();
        self.wakers.store(wakers.as_ptr(), Ordering::Relaxed);
        self.yields.store(false, Ordering::Relaxed);
        self.cloned.store(false, Ordering::Relaxed);
        self.slow.store(false, Ordering::Relaxed);
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

    /// Whether it yields; said once. (A swap would need what the smallest cores don't have.)
    #[inline]
    pub(crate) fn take_yield(&self) -> bool {
        let yields = self.yields.load(Ordering::Relaxed);
        if yields {
            self.yields.store(false, Ordering::Relaxed);
        }
        yields
    }

    /// Whether its waker was kept, or it is cancelled, or over. If not, the future is there.
    #[inline]
    pub(crate) fn needs_slow_path(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_slow(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    /// Returns where the task's failure is reported if nobody joins it.
    ///
    /// # Safety
    ///
    /// The task, or a handle on it, is there.
    #[expect(unsafe_code, reason = "the pointer has no lifetime")]
    pub(crate) unsafe fn reports(&self) -> Option<&dyn Reports> {
        // SAFETY: the wakers are where `reset` was told; they are the door's, on which both have a handle.
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

    /// Whether `waker` is the one that [`lend`](Self::lend) makes.
    #[inline]
    pub(crate) fn is_behind(&self, waker: &Waker) -> bool {
        core::ptr::eq(waker.data(), core::ptr::from_ref(self).cast())
    }

    /// A waker of the task for one step. To drop it would do nothing.
    ///
    /// # Safety
    ///
    /// The step borrows this and the wakers that [`reset`](Self::reset) was given; and nobody gets more of the waker
    /// than a reference, for the time of the step.
    #[inline]
    #[expect(unsafe_code, reason = "the borrows are not in the waker's type")]
    pub(crate) unsafe fn lend(&self) -> ManuallyDrop<Waker> {
        let data = core::ptr::from_ref(self).cast();
        // SAFETY: the functions of the table take the pointer for the reference that it was made of, and use the
        // wakers; the caller vouches that both are good as long as the waker. `WakerState` and `Source` are `Sync`, as
        // other threads may use it.
        ManuallyDrop::new(unsafe { Waker::new(data, &LENT) })
    }
}

const _: () = {
    const fn is_sync<T: Sync>() {}
    is_sync::<WakerState>();
    is_sync::<Source<'_>>();
};

/// Returns true if a combinator that begins is to look at its second future first: every other one of a task is. So a
/// loop of selects prefers neither of two that are always ready. A waker that is not the task's own tells nothing of that,
/// and the first is first.
pub(crate) fn second_is_first(waker: &Waker) -> bool {
    if !core::ptr::eq(waker.vtable(), &LENT) {
        return false;
    }
    // SAFETY: the table is used by `lend` alone, whose caller vouches for the waker, and with it the task, during the step.
    #[expect(unsafe_code, reason = "the waker's type does not name the task")]
    let caller = unsafe { caller(waker.data()) };
    let second_first = !caller.second_first.load(Ordering::Relaxed);
    caller.second_first.store(second_first, Ordering::Relaxed);
    second_first
}

/// What a waker does that is lent for a step.
static LENT: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| {});

/// The caller behind a lent waker.
///
/// # Safety
///
/// `data` is that of a waker that [`WakerState::lend`] made and that is still there.
#[expect(unsafe_code, reason = "see lend")]
unsafe fn caller<'a>(data: *const ()) -> &'a WakerState {
    // SAFETY: the caller's promise.
    unsafe { &*data.cast::<WakerState>() }
}

#[expect(unsafe_code, reason = "the table's functions are declared so")]
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the table is used by `lend` alone, whose caller vouches for the wakers.
    let (caller, wakers) = unsafe {
        let caller = caller(data);
        (caller, &*caller.wakers.load(Ordering::Relaxed))
    };
    caller.cloned.store(true, Ordering::Relaxed);
    caller.slow.store(true, Ordering::Relaxed);
    let waker = ManuallyDrop::new(wakers.wakers.waker(caller.task()));
    RawWaker::new(waker.data(), waker.vtable())
}

#[expect(unsafe_code, reason = "the table's functions are declared so")]
unsafe fn wake(data: *const ()) {
    // SAFETY: the table is used by `lend` alone.
    unsafe { caller(data) }.yields();
}
