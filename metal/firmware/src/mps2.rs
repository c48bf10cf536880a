//! The board: the clock, sleep, and where the peripherals are.

pub mod clock;
pub mod lan9118;
pub mod timer;
pub mod uart;

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;
use sinbin_core::Instant;
use sinbin_metal::Board;

use clock::Clock;
use lan9118::FrameInterrupt;

/// The frequency of the processor and of its SysTick.
pub const HERTZ: u32 = 25_000_000;

/// The number of the Ethernet card's interrupt.
pub const ETHERNET: Irq = Irq(13);

/// Set by the handler of the Ethernet card's interrupt.
static HAS_FRAME: AtomicBool = AtomicBool::new(false);

/// An interrupt of the board.
#[derive(Clone, Copy)]
pub struct Irq(pub u16);

// SAFETY: the numbers above are those of the board, and below the number of interrupts of the NVIC.
unsafe impl cortex_m::interrupt::InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}

/// The emulated board.
pub struct Mps2 {
    clock: Clock,
    frames: FrameInterrupt,
    /// Called for each poll of the network, and each millisecond of sleep.
    hook: fn(&Mps2),
}

impl Mps2 {
    /// Creates the board, which calls `hook` at least once a millisecond while the loop is healthy: the place to feed a
    /// watchdog.
    pub const fn new(clock: Clock, frames: FrameInterrupt, hook: fn(&Self)) -> Self {
        Self { clock, frames, hook }
    }
}

impl Board for Mps2 {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep(&mut self, until: Instant, has_wakes: &dyn Fn() -> bool) {
        HAS_FRAME.store(false, Ordering::SeqCst);
        while self.now() < until {
            // Each tick of the clock comes here.
            self.alive();
            // An interrupt that comes from here on is pending, and ends `wfi`. Its handler runs behind.
            cortex_m::interrupt::disable();
            self.frames.rearm();
            // SAFETY: unmasking an interrupt breaks no critical section: all interrupts are masked by PRIMASK.
            unsafe { NVIC::unmask(ETHERNET) };
            let is_idle = !has_wakes() && !self.frames.is_waiting();
            if is_idle {
                cortex_m::asm::dsb();
                cortex_m::asm::wfi();
            }
            // SAFETY: this ends the critical section that began above, and no other is open.
            unsafe { cortex_m::interrupt::enable() };
            cortex_m::asm::isb();
            if !is_idle || has_wakes() || HAS_FRAME.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn alive(&mut self) {
        (self.hook)(self);
    }
}

/// Handles the interrupts of the board. That of the Ethernet card is masked until the loop has looked at the card, because
/// its level stays set while a frame is waiting.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    match u16::try_from(irqn) {
        Ok(number) if number == ETHERNET.0 => {
            NVIC::mask(ETHERNET);
            HAS_FRAME.store(true, Ordering::SeqCst);
        }
        Ok(number) if timer::handle(number) => {}
        _ => panic!("an interrupt without a handler: {irqn}"),
    }
}
