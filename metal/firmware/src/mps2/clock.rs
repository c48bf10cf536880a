//! The time since start, by SysTick.

use core::cell::Cell;

use cortex_m::interrupt::{CriticalSection, Mutex};
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use sinbin_core::Instant;

use super::HERTZ;

/// The number of ticks a second.
const RATE: u32 = 1000;

/// The number of cycles between two ticks.
pub const CYCLES: u32 = HERTZ / RATE;

/// The nanoseconds of a cycle. A whole number, because a division of 64 bits would take hundreds of instructions.
const NANOS: u32 = 1_000_000_000 / HERTZ;

const _: () = assert!(NANOS * HERTZ == 1_000_000_000 && HERTZ.is_multiple_of(RATE), "cycles are exact");

/// The number of ticks since start.
static TICKS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// The function that each tick calls.
static ON_TICK: Mutex<Cell<fn()>> = Mutex::new(Cell::new(|| {}));

/// The clock: SysTick counts the cycles of a millisecond, and an interrupt the milliseconds.
#[derive(Clone, Copy)]
pub struct Clock(());

impl Clock {
    /// Starts the clock.
    #[must_use]
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(CYCLES - 1);
        systick.clear_current();
        systick.enable_counter();
        systick.enable_interrupt();
        Self(())
    }

    /// Returns the time since start.
    #[must_use]
    pub fn now(self) -> Instant {
        let (ticks, cycles) = cortex_m::interrupt::free(read);
        Instant::from_nanos(ticks * 1_000_000 + u64::from(cycles * NANOS))
    }

    /// Calls `act`, in an interrupt, each millisecond.
    pub fn on_tick(self, act: fn()) {
        cortex_m::interrupt::free(|section| ON_TICK.borrow(section).set(act));
    }
}

/// Returns the number of microseconds since start, zero before the clock starts.
#[must_use]
pub fn micros() -> u64 {
    let (ticks, cycles) = cortex_m::interrupt::free(read);
    ticks * 1000 + u64::from(cycles * NANOS / 1000)
}

/// Returns the number of ticks since start, and of cycles since the last tick.
fn read(section: &CriticalSection) -> (u64, u32) {
    let left = SYST::get_current();
    let ticks = TICKS.borrow(section).get();
    // A tick that is pending is not counted yet, and the counter may have been read before or behind it.
    let (ticks, left) =
        if SCB::is_pendst_pending() { (ticks + 1, SYST::get_current()) } else { (ticks, left) };
    (ticks, (CYCLES - 1).saturating_sub(left))
}

#[exception]
fn SysTick() {
    let act = cortex_m::interrupt::free(|section| {
        let ticks = TICKS.borrow(section);
        ticks.set(ticks.get() + 1);
        ON_TICK.borrow(section).get()
    });
    act();
}
