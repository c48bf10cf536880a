//! Wakers without a heap and without compare-and-swap: a flag a task, in a `static`.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::kernel::Kernel;
use crate::kernel::id::TaskId;
use crate::kernel::storage::Storage;
use crate::task::wakers::Wakers;

/// Says that some signal was given, so that a host need not look at each.
#[derive(Debug)]
pub struct Bell {
    rung: AtomicBool,
    interrupt: fn(),
}

impl Bell {
    /// A bell that calls `interrupt` whenever it rings: what ends the host's wait (on a Cortex-M, `sev`). It is
    /// called by whoever wakes a task, in interrupts too.
    #[must_use]
    pub const fn new(interrupt: fn()) -> Self {
        Self { rung: AtomicBool::new(false), interrupt }
    }
}

/// A place for the wakes of one task.
#[derive(Debug)]
pub struct Signal {
    given: AtomicBool,
    generation: AtomicU32,
    bell: &'static Bell,
}

impl Signal {
    /// A signal that rings `bell`.
    #[must_use]
    pub const fn new(bell: &'static Bell) -> Self {
        Self { given: AtomicBool::new(false), generation: AtomicU32::new(0), bell }
    }

    fn give(&self) {
        self.given.store(true, Ordering::SeqCst);
        self.bell.rung.store(true, Ordering::SeqCst);
        (self.bell.interrupt)();
    }
}

/// [`Wakers`] in statics: one [`Signal`] for each task that the kernel can have. A waker that is kept after its task
/// is gone wakes the next one in its place, in vain.
///
/// ```
/// use sinbin_core::task::{Bell, RunContext, Signal, Signals};
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
    /// Wakers on these signals. A task whose index is past them gets wakers that do nothing; a debug build panics
    /// there.
    #[must_use]
    pub const fn new(bell: &'static Bell, signals: &'static [Signal]) -> Self {
        Self { bell, signals }
    }

    /// Wakes the tasks whose signals were given. A host calls this before each turn; it is O(1) where there was
    /// none, and O(n) in the number of signals otherwise.
    pub fn deliver(&self, kernel: &mut Kernel<impl Storage>) {
        // What is given from here on rings again: the signals are looked at after the bell, as they are given before.
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

/// Whether the flag is set; it is not any more.
fn take(flag: &AtomicBool) -> bool {
    if !flag.load(Ordering::SeqCst) {
        return false;
    }
    // A core without swaps is alone.
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
        // SAFETY: the pointer is a reference to a static, and `Signal` is `Sync`.
        #[expect(unsafe_code, reason = "the standard library makes a waker of a pointer and a table only")]
        unsafe {
            Waker::from_raw(raw(signal))
        }
    }
}

static KEPT: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &KEPT), wake, wake, |_| {});

fn raw(signal: &'static Signal) -> RawWaker {
    RawWaker::new(core::ptr::from_ref(signal).cast(), &KEPT)
}

#[expect(unsafe_code, reason = "the table's functions are declared so")]
unsafe fn wake(data: *const ()) {
    // SAFETY: the table is used by `raw` alone, whose pointers are references to statics.
    unsafe { &*data.cast::<Signal>() }.give();
}
