//! A program whose stack overflows, and that must say so.

#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::hint::black_box;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use sinbin_firmware::mps2::uart::Uart;
use sinbin_firmware::{fault, stack};

fn descend(depth: u32) -> u32 {
    let room = black_box([depth; 16]);
    if depth == u32::MAX { 0 } else { descend(depth + 1) + room[3] }
}

#[entry]
fn main() -> ! {
    Uart.start();
    let mut peripherals = Peripherals::take().expect("this is the first call");
    stack::guard(&mut peripherals.MPU);
    let depth = descend(black_box(0));
    let _ = writeln!(Uart, "it descended to {depth}");
    fault::end(false);
}
