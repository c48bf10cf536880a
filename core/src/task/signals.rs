//! Wakers without a heap and without compare-and-swap: one flag per task, in a `static`.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Waker;

use crate::kernel::Kernel;
use crate::kernel::id::TaskId;
use crate::kernel::storage::Storage;
use crate::task::static_waker::{StaticWake, VTable};
use crate::task::wakers::Wakers;

/// A flag which is set when any signal is set, so that a host need not check each signal.
#[derive(Debug)]
pub struct Bell {
    rung: AtomicBool,
    interrupt: fn(),
}

impl Bell {
    /// Creates a bell that calls `interrupt` whenever it rings, to end the host's wait (on a Cortex-M, `sev`). The
    /// function is called in the context of the code that wakes a task, which may be an interrupt.
    #[must_use]
    pub const fn new(interrupt: fn()) -> Self {
        Self { rung: AtomicBool::new(false), interrupt }
    }
}

/// A flag for the wakes of one task.
#[derive(Debug)]
pub struct Signal {
    given: AtomicBool,
    generation: AtomicU32,
    bell: &'static Bell,
}

impl Signal {
    /// Creates a signal that rings `bell`.
    #[must_use]
    pub const fn new(bell: &'static Bell) -> Self {
        Self { given: AtomicBool::new(false), generation: AtomicU32::new(0), bell }
    }
}

/// [`Wakers`] in statics: one [`Signal`] for each task that the kernel can have. A waker that is kept after its task
/// has ended wakes the next task in the same slot spuriously.
///
/// ```
/// # use sinbin_core::task::{Bell, RunContext, Signal, Signals};
///
/// static BELL: Bell = Bell::new(|| { /* end the host's wait */ });
/// static SIGNALS: [Signal; 8] = [const { Signal::new(&BELL) }; 8];
///
/// let wakers = Signals::new(&BELL, &SIGNALS);
/// let run_context = RunContext::new(&wakers);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    bell: &'static Bell,
    signals: &'static [Signal],
}

impl Signals {
    /// Creates wakers that use these signals. A task whose index is past their end gets wakers that do nothing; a debug
    /// build panics.
    #[must_use]
    pub const fn new(bell: &'static Bell, signals: &'static [Signal]) -> Self {
        Self { bell, signals }
    }

    /// Returns true if a signal was set since the last delivery. A host that sleeps until an interrupt checks this with
    /// interrupts masked, right before it sleeps: a wake from an interrupt is then never slept through.
    #[must_use]
    pub fn are_pending(&self) -> bool {
        self.bell.rung.load(Ordering::SeqCst)
    }

    /// Wakes the tasks whose signals are set. A host calls this before each turn. O(1) if no signal is set, and O(n) in
    /// the number of signals otherwise.
    pub fn deliver(&self, kernel: &mut Kernel<impl Storage>) {
        // A signal that is set from here on rings the bell again: a waker sets the signal before the bell, and this
        // function reads the bell before the signals.
        if !take(&self.bell.rung) {
            return;
        }
        for (index, signal) in (0..).zip(self.signals) {
            if take(&signal.given) {
                kernel.wake(TaskId::new(index, signal.generation.load(Ordering::Relaxed)));
            }
        }
    }
}

/// Returns true if the flag was set, and clears it.
#[inline]
pub(crate) fn take(flag: &AtomicBool) -> bool {
    if !flag.load(Ordering::SeqCst) {
        return false;
    }
    // A processor without atomic swaps has a single core.
    #[cfg(not(target_has_atomic = "8"))]
    flag.store(false, Ordering::SeqCst);
    #[cfg(target_has_atomic = "8")]
    flag.swap(false, Ordering::SeqCst);
    true
}

impl Wakers for Signals {
    fn waker(&self, task: TaskId) -> Waker {
        let Some(signal) = self.signals.get(task.index()) else {
            debug_assert!(false, "a task has a signal");
            return Waker::noop().clone();
        };
        signal.generation.store(task.generation, Ordering::Relaxed);
        signal.waker()
    }
}

static VTABLE: VTable<Signal> = VTable::new();

impl StaticWake for Signal {
    const VTABLE: &'static VTable<Self> = &VTABLE;

    fn wake(&self) {
        self.given.store(true, Ordering::SeqCst);
        self.bell.rung.store(true, Ordering::SeqCst);
        (self.bell.interrupt)();
    }
}
