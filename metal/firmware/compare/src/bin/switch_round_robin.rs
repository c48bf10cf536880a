//! Eight tasks that yield in turn, on the executor without a kernel.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::pin::pin;

use cortex_m_rt::entry;
use sinbin_compare::yield_now;
use sinbin_core::task::{RoundRobin, WakeFlag};
use sinbin_firmware::round_robin;

const TASKS: usize = 8;

static FLAGS: [WakeFlag; TASKS] = [const { WakeFlag::new() }; TASKS];

async fn count() {
    let mut count = 0_u32;
    loop {
        count = black_box(count + 1);
        yield_now().await;
    }
}

#[entry]
fn main() -> ! {
    let tasks = [
        pin!(count()),
        pin!(count()),
        pin!(count()),
        pin!(count()),
        pin!(count()),
        pin!(count()),
        pin!(count()),
        pin!(count()),
    ];
    let mut executor = RoundRobin::new(&FLAGS, tasks);
    loop {
        round_robin::run(&mut executor);
    }
}
