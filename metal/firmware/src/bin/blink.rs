//! Eight tasks: six toggle a LED each, at different paces, and two wait for the interrupts of timers. Ends when each
//! timer has woken its task twenty times.

#![no_std]
#![no_main]

use core::cell::Cell;
use core::fmt::Write as _;
use core::pin::pin;
use core::time::Duration;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal as Event;
use sinbin_core::task::{Bell, Handle, Pool, RunContext, Signal, Signals};
use sinbin_core::{Executor, Fixed};
use sinbin_firmware::fault;
use sinbin_firmware::mps2::clock::Clock;
use sinbin_firmware::mps2::timer::{FIRST, SECOND};
use sinbin_firmware::mps2::uart::Uart;
use sinbin_firmware::quiet::Quiet;

const TASKS: usize = 8;
const LEDS: usize = 6;

/// The number of ticks of each timer.
const TICKS: u32 = 20;

/// The wakers of tasks: an interrupt sets a flag of its task, and the loop looks at the flags before each turn.
static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; TASKS] = [const { Signal::new(&BELL) }; TASKS];

/// The events of the timers, set by their interrupts.
static EVENTS: [Event<CriticalSectionRawMutex, ()>; 2] = [const { Event::new() }; 2];

/// Toggles a LED until all timers are done.
async fn blink(handle: Handle<'_>, leds: &Cell<u32>, number: u32, done: &Cell<usize>) {
    let mut pace = handle.every(Duration::from_millis(2 + u64::from(number)));
    while done.get() < EVENTS.len() {
        pace.tick().await;
        leds.set(leds.get() ^ 1 << number);
    }
}

/// Counts the interrupts of a timer.
async fn count(event: &Event<CriticalSectionRawMutex, ()>, done: &Cell<usize>) {
    for _ in 0..TICKS {
        event.wait().await;
    }
    done.set(done.get() + 1);
}

#[entry]
fn main() -> ! {
    Uart.start();
    let peripherals = Peripherals::take().expect("this is the first call");
    let signals = Signals::new(&BELL, &SIGNALS);
    let run_context = RunContext::new(&signals);
    let handle = Handle::new(&run_context);
    let (leds, done) = (Cell::new(0), Cell::new(0));
    let (blinking, counting) = (pin!(Pool::<_, _>::fixed::<LEDS>()), pin!(Pool::<_, _>::fixed::<2>()));
    let (blinking, counting) = (blinking.as_ref(), counting.as_ref());
    let mut executor = Executor::<Quiet<'_, TASKS>>::new(&Fixed);
    for number in 0..6 {
        let task = blinking.put(handle, blink(handle, &leds, number, &done));
        let spawned = task.ok().is_some_and(|(task, _)| executor.spawn(task.erase()).is_ok());
        assert!(spawned, "there is a slot for each task");
    }
    for event in &EVENTS {
        let task = counting.put(handle, count(event, &done));
        let spawned = task.ok().is_some_and(|(task, _)| executor.spawn(task.erase()).is_ok());
        assert!(spawned, "there is a slot for each task");
    }
    FIRST.start(50_000, || EVENTS[0].signal(()));
    SECOND.start(77_777, || EVENTS[1].signal(()));
    let rest = Quiet::new(Clock::start(peripherals.SYST), signals).run(&mut executor);
    let _ = writeln!(Uart, "blinked: {rest:?}, LEDs {:06b}", leds.get());
    fault::end(done.get() != EVENTS.len());
}
