//! The BBC micro:bit, a Cortex-M0 without an MPU and a network: its serial port and its first timer.

use core::cell::Cell;
use core::fmt;
use core::ptr;

use cortex_m::interrupt::{InterruptNumber, Mutex};
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use crate::console::Console;

/// The serial port.
const UART: usize = 0x4000_2000;
/// The first timer, and the number of its interrupt.
const TIMER: usize = 0x4000_8000;
const TIMER_IRQ: u16 = 8;

/// Writes a register.
///
/// # Safety
///
/// `address` must be that of a register of the serial port or of the timer.
unsafe fn write(address: usize, value: u32) {
    // SAFETY: the caller guarantees that this is a register, and writing those affects no memory.
    unsafe { ptr::without_provenance_mut::<u32>(address).write_volatile(value) }
}

/// The serial port.
#[derive(Clone, Copy)]
pub struct Uart;

impl Uart {
    /// Turns the port on.
    pub fn start(self) {
        // SAFETY: these are the pin for sending, 115,200 baud, the switch of the port, and the task that starts to send.
        unsafe {
            write(UART + 0x50c, 24);
            write(UART + 0x524, 0x01d7_e000);
            write(UART + 0x500, 4);
            write(UART + 0x008, 1);
        }
    }
}

impl Console for Uart {
    fn put(&mut self, byte: u8) {
        // SAFETY: these are the event that a byte was sent, and the data register.
        unsafe {
            write(UART + 0x11c, 0);
            write(UART + 0x51c, u32::from(byte));
            while ptr::without_provenance::<u32>(UART + 0x11c).read_volatile() == 0 {}
        }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_all(text.as_bytes());
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Irq;

// SAFETY: this is the number of the timer's interrupt.
unsafe impl InterruptNumber for Irq {
    fn number(self) -> u16 {
        TIMER_IRQ
    }
}

/// The function that the interrupt of the timer calls.
static ON_TICK: Mutex<Cell<fn()>> = Mutex::new(Cell::new(|| {}));

/// Calls `handler`, in an interrupt, each time when `micros` microseconds have passed.
pub fn every(micros: u32, handler: fn()) {
    cortex_m::interrupt::free(|section| ON_TICK.borrow(section).set(handler));
    // SAFETY: these are registers of the timer: 32 bits, 1 MHz, the value to compare with, a restart at that value, its
    // interrupt, and the start. Unmasking the interrupt breaks no critical section.
    unsafe {
        write(TIMER + 0x508, 3);
        write(TIMER + 0x510, 4);
        write(TIMER + 0x540, micros);
        write(TIMER + 0x200, 1);
        write(TIMER + 0x304, 1 << 16);
        NVIC::unmask(Irq);
        write(TIMER, 1);
    }
}

/// Handles the interrupt of the timer.
#[exception]
unsafe fn DefaultHandler(irqn: i16) {
    assert!(irqn == TIMER_IRQ as i16, "an interrupt without a handler: {irqn}");
    // SAFETY: this clears the event of the timer.
    unsafe { write(TIMER + 0x140, 0) };
    cortex_m::interrupt::free(|section| ON_TICK.borrow(section).get())();
}
