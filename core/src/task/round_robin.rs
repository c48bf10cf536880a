//! An executor for a fixed set of futures that wait only for each other and for interrupts.

use core::mem::ManuallyDrop;
use core::pin::Pin;
#[cfg(not(target_has_atomic = "8"))]
use core::sync::atomic::compiler_fence;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Context;

use crate::task::static_waker::{StaticWake, VTable};

/// A flag in a static that says that a task of a [`RoundRobin`] is to run. An interrupt may set it, through the waker
/// of the task.
#[derive(Debug)]
pub struct WakeFlag(AtomicBool);

impl WakeFlag {
    /// Creates a flag that is not set.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Returns true if the flag is set, and clears it.
    #[inline]
    fn take(&self) -> bool {
        if !self.0.load(Ordering::Relaxed) {
            return false;
        }
        // A processor without atomic swaps has a single core.
        #[cfg(not(target_has_atomic = "8"))]
        {
            self.0.store(false, Ordering::Relaxed);
            // The flag is cleared before the task runs: what an interrupt sets meanwhile stays set.
            compiler_fence(Ordering::SeqCst);
        }
        #[cfg(target_has_atomic = "8")]
        self.0.swap(false, Ordering::Acquire);
        true
    }
}

impl Default for WakeFlag {
    fn default() -> Self {
        Self::new()
    }
}

static VTABLE: VTable<WakeFlag> = VTable::new();

impl StaticWake for WakeFlag {
    const VTABLE: &'static VTable<Self> = &VTABLE;

    #[inline]
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// An executor for `N` tasks that need neither sources nor deadlines of the kernel: futures that wait for each other,
/// or for interrupts. Two hundred bytes of code, no heap, no compare-and-swap.
///
/// Each round runs every task that was woken, in the order of the array. Between two steps of one task, each other task
/// that is ready runs once. Deadlines are those of other crates, such as `embassy-time`, whose wakers work here.
/// For connections, deadlines, jobs, cancellation, and tasks that are spawned later, use an
/// [`Executor`](crate::Executor).
///
/// ```
/// use std::pin::pin;
///
/// use sinbin_core::task::{RoundRobin, WakeFlag};
///
/// async fn blink() { /* … */ }
/// async fn count() { /* … */ }
///
/// static FLAGS: [WakeFlag; 2] = [const { WakeFlag::new() }; 2];
///
/// let (blink, count) = (pin!(blink()), pin!(count()));
/// let tasks: [std::pin::Pin<&mut dyn Future<Output = ()>>; 2] = [blink, count];
/// let mut executor = RoundRobin::new(&FLAGS, tasks);
/// while executor.round() {
///     // With interrupts masked: unless `executor.is_woken()`, sleep until an interrupt (on a Cortex-M, `wfi`).
/// }
/// ```
#[derive(Debug)]
pub struct RoundRobin<F, const N: usize> {
    flags: &'static [WakeFlag; N],
    /// The tasks; `None` for each that has ended.
    tasks: [Option<F>; N],
}

impl<F: Future<Output = ()> + Unpin, const N: usize> RoundRobin<F, N> {
    /// Creates an executor of `tasks`, each with the flag at its index. `F` is a pinned reference to a future: of one
    /// type, which takes the least code, or a trait object for futures of different types.
    ///
    /// Two executors must not share flags at the same time: tasks would miss wakes.
    #[must_use]
    #[inline]
    pub fn new(flags: &'static [WakeFlag; N], tasks: [F; N]) -> Self {
        for flag in flags {
            flag.0.store(true, Ordering::Relaxed);
        }
        Self { flags, tasks: tasks.map(Some) }
    }

    /// Runs a step of each task that was woken since its last step, and of each task in the first round. Returns true
    /// if a task is left. O(N).
    #[inline]
    pub fn round(&mut self) -> bool {
        let mut is_any_left = false;
        for index in 0..N {
            let (slot, flag) = (&mut self.tasks[index], &self.flags[index]);
            // A wake from here on leads to another step, because the flag is cleared before this one. The flag of a
            // task that has ended is cleared as well: otherwise the board would never sleep.
            let is_woken = flag.take();
            let Some(task) = slot else { continue };
            if is_woken {
                // Dropping the waker does nothing.
                let waker = ManuallyDrop::new(flag.waker());
                if Pin::new(task).poll(&mut Context::from_waker(&waker)).is_ready() {
                    *slot = None;
                    continue;
                }
            }
            is_any_left = true;
        }
        is_any_left
    }

    /// Returns true if a task was woken since its last step. An interrupt may wake a task at any time, so a board that
    /// sleeps masks interrupts, checks this, and sleeps by an instruction that a pending interrupt ends. O(N).
    #[must_use]
    #[inline]
    pub fn is_woken(&self) -> bool {
        self.flags.iter().any(|flag| flag.0.load(Ordering::Relaxed))
    }
}
