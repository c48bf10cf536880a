//! The end of a program that cannot continue: it says where and why, by the serial port, and ends the emulation.

use core::fmt::Write as _;
use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};

use crate::console::Console as _;
#[cfg(microbit)]
use crate::microbit::Uart;
#[cfg(not(microbit))]
use crate::mps2::uart::Uart;
use crate::stack;

/// The cause of a fault.
struct Status {
    is_overflow: bool,
    /// The fault status register; zero on a core without it.
    bits: u32,
}

/// Ends the program. On a board without a debugger, it stops instead.
pub fn end(has_failed: bool) -> ! {
    exit(if has_failed { EXIT_FAILURE } else { EXIT_SUCCESS });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    say(info);
    end(true)
}

#[cfg(feature = "emulator")]
fn say(info: &PanicInfo<'_>) {
    let _ = writeln!(Uart, "{info}");
}

/// Writes the addresses of the calls in progress, which `addr2line -fie PROGRAM` translates to lines. The text of messages and
/// the names of files would take 5 to 20 KB of flash.
#[cfg(not(feature = "emulator"))]
fn say(_: &PanicInfo<'_>) {
    let _ = Uart.write_str("panicked at");
    for address in stack::callers().take(8) {
        let _ = Uart.write_str(" 0x");
        Uart.write_hex(address);
    }
    let _ = Uart.write_str("\n");
}

fn say_number(what: &str, number: usize) {
    let _ = Uart.write_str(what);
    Uart.write_number(u32::try_from(number).unwrap_or(u32::MAX));
    let _ = Uart.write_str("\n");
}

#[cfg(armv6m)]
fn status() -> Status {
    Status { is_overflow: false, bits: 0 }
}

#[cfg(not(armv6m))]
fn status() -> Status {
    use cortex_m::peripheral::SCB;

    /// A fault pushed its frame onto the stack in vain, or an access was refused.
    const STACKING_FAILED: u32 = 1 << 4;
    const ACCESS_REFUSED: u32 = 1 << 1;
    const HAS_ADDRESS: u32 = 1 << 7;

    // SAFETY: reading these registers has no side effect.
    let (bits, address) = unsafe { ((*SCB::PTR).cfsr.read(), (*SCB::PTR).mmfar.read()) };
    let is_overflow = bits & STACKING_FAILED != 0
        || bits & (ACCESS_REFUSED | HAS_ADDRESS) == ACCESS_REFUSED | HAS_ADDRESS && stack::is_guard(address);
    Status { is_overflow, bits }
}

/// Reports a fault. The MPU is off here, so that the bytes below the guard of the stack can be used.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let status = status();
    if status.is_overflow {
        let (size, _) = stack::used();
        say_number("the stack has overflowed; its size is ", size);
    } else {
        say_number("fault at ", frame.pc() as usize);
        say_number("with status ", status.bits as usize);
    }
    end(true)
}
