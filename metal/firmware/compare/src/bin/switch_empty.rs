//! A program that does nothing: what the two others cost is counted from here.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use sinbin_firmware as _;

#[entry]
fn main() -> ! {
    loop {
        core::hint::black_box(0);
    }
}
