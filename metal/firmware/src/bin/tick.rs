//! Two tasks without a kernel, on a Cortex-M0: one waits for the interrupts of a timer, and wakes the other one.

#![no_std]
#![no_main]

#[cfg(not(microbit))]
use sinbin_firmware as _;

#[cfg(not(microbit))]
#[cortex_m_rt::entry]
fn main() -> ! {
    panic!("this program is for the board microbit: SINBIN_BOARD=microbit metal/firmware/run tick")
}

#[cfg(microbit)]
#[cortex_m_rt::entry]
fn main() -> ! {
    use core::fmt::Write as _;
    use core::pin::{Pin, pin};

    use embassy_sync::blocking_mutex::raw::{CriticalSectionRawMutex, NoopRawMutex};
    use embassy_sync::channel::Channel;
    use embassy_sync::signal::Signal;
    use sinbin_core::task::{RoundRobin, WakeFlag};
    use sinbin_firmware::console::Console;
    use sinbin_firmware::microbit::{Uart, every};
    use sinbin_firmware::{fault, round_robin};

    const TICKS: u32 = 5;

    static TICK: Signal<CriticalSectionRawMutex, ()> = Signal::new();
    static FLAGS: [WakeFlag; 2] = [const { WakeFlag::new() }; 2];

    Uart.start();
    every(1000, || TICK.signal(()));
    let ticks = Channel::<NoopRawMutex, u32, 1>::new();
    let count = pin!(async {
        for tick in 1..=TICKS {
            TICK.wait().await;
            ticks.send(tick).await;
        }
    });
    let print = pin!(async {
        for _ in 0..TICKS {
            let tick = ticks.receive().await;
            let _ = Uart.write_str("tick ");
            Uart.write_number(tick);
            let _ = Uart.write_str("\n");
        }
    });
    let tasks: [Pin<&mut dyn Future<Output = ()>>; 2] = [count, print];
    round_robin::run(&mut RoundRobin::new(&FLAGS, tasks));
    fault::end(false);
}
