//! Eight tasks that yield in turn, as state machines on the kernel.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use sinbin_core::{Fixed, Instant, Kernel, Step};
use sinbin_firmware as _;

const TASKS: usize = 8;

#[entry]
fn main() -> ! {
    let mut kernel = Kernel::new(&Fixed::<TASKS, 0, 0>);
    for _ in 0..TASKS {
        let _ = kernel.spawn();
    }
    let mut counts = [0_u32; TASKS];
    loop {
        kernel.advance(Instant::ZERO);
        while let Some(task) = kernel.next() {
            if let Some(count) = counts.get_mut(task.index()) {
                *count = black_box(*count + 1);
            }
            kernel.park(task, Step::Yield);
        }
    }
}
