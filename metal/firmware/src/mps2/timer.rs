//! The two timers (CMSDK), whose interrupts call a function.

use core::cell::Cell;
use core::ptr;

use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::NVIC;

use super::Irq;

/// The number of the first timer's interrupt. The other one's is behind it.
const FIRST_IRQ: u16 = 8;

/// The address of the first timer, and the distance between the two.
const BASE: usize = 0x4000_0000;
const SIZE: usize = 0x1000;

/// The function that the interrupt of a timer calls.
type Handler = Mutex<Cell<fn()>>;

static HANDLERS: [Handler; 2] = [const { Mutex::new(Cell::new(|| {})) }; 2];

/// A timer of the board.
#[derive(Clone, Copy)]
pub struct Timer(usize);

/// The first timer.
pub const FIRST: Timer = Timer(0);
/// The second timer.
pub const SECOND: Timer = Timer(1);

impl Timer {
    fn register(self, offset: usize) -> *mut u32 {
        ptr::without_provenance_mut(BASE + SIZE * self.0 + offset)
    }

    /// Calls `handler`, in an interrupt, each time when `cycles` of the processor have passed.
    pub fn start(self, cycles: u32, handler: fn()) {
        self.start_then(cycles, cycles, handler);
    }

    /// Calls `handler` as [`start`](Self::start) does when `first` cycles have passed, and from then on each time when
    /// `cycles` have passed.
    pub fn start_then(self, first: u32, cycles: u32, handler: fn()) {
        cortex_m::interrupt::free(|section| HANDLERS[self.0].borrow(section).set(handler));
        // SAFETY: these are the registers of this timer. Unmasking its interrupt breaks no critical section.
        unsafe {
            self.register(0).write_volatile(0);
            self.register(8).write_volatile(cycles);
            self.register(4).write_volatile(first);
            self.register(12).write_volatile(1);
            NVIC::unmask(self.irq());
            self.register(0).write_volatile(0b1001);
        }
    }

    /// Stops the timer, and clears an interrupt of it that is pending.
    pub fn stop(self) {
        // SAFETY: as above.
        unsafe {
            self.register(0).write_volatile(0);
            self.register(12).write_volatile(1);
        }
        NVIC::unpend(self.irq());
    }

    fn irq(self) -> Irq {
        Irq(FIRST_IRQ + u16::try_from(self.0).unwrap_or(0))
    }

    /// Returns the number of cycles until the timer's next interrupt.
    #[must_use]
    pub fn left(self) -> u32 {
        // SAFETY: as above.
        unsafe { self.register(4).read_volatile() }
    }
}

/// Handles the interrupt if it is that of a timer. Returns true if it is.
pub(super) fn handle(number: u16) -> bool {
    let timer = Timer(usize::from(number.wrapping_sub(FIRST_IRQ)));
    let Some(handler) = HANDLERS.get(timer.0) else { return false };
    // SAFETY: this clears the timer's interrupt.
    unsafe { timer.register(12).write_volatile(1) }
    cortex_m::interrupt::free(|section| handler.borrow(section).get())();
    true
}
