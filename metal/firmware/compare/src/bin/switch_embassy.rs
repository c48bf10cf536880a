//! Eight tasks that yield in turn, on embassy-executor.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use embassy_executor::Executor;
use sinbin_compare::yield_now;
use sinbin_firmware as _;
use static_cell::StaticCell;

const TASKS: usize = 8;

static EXECUTOR: StaticCell<Executor> = StaticCell::new();

#[embassy_executor::task(pool_size = TASKS)]
async fn count() {
    let mut count = 0_u32;
    loop {
        count = black_box(count + 1);
        yield_now().await;
    }
}

#[entry]
fn main() -> ! {
    EXECUTOR.init(Executor::new()).run(|spawner| {
        for _ in 0..TASKS {
            if let Ok(task) = count() {
                spawner.spawn(task);
            }
        }
    })
}
