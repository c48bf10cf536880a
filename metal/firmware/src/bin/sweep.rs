//! Interrupts at every instruction of the loop: each must wake its task. Run it by `-icount shift=0`, where the timer
//! counts one cycle for 40 instructions: it is armed for each number of cycles in a range, behind 0 to 39 instructions
//! that do nothing. The range covers a whole round of the loop, so that the interrupt comes at each of its instructions.

#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};

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

/// The cycles of the timer until the interrupt: up to 4,000 instructions, more than a round of the loop.
const CYCLES: core::ops::Range<u32> = 2..100;

/// The number of instructions in a cycle.
const PHASES: u32 = 40;

/// The cycles within which a task must have been woken: far more than a round of the loop takes.
const PATIENCE: u32 = 25_000;

static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; 1] = [const { Signal::new(&BELL) }; 1];
static EVENT: Event<CriticalSectionRawMutex, ()> = Event::new();

static ROUND: AtomicU32 = AtomicU32::new(0);

/// The cycles that a wake took: all of them together.
static TOOK: AtomicU32 = AtomicU32::new(0);

/// Waits for an interrupt in each round.
async fn rounds() {
    for cycles in CYCLES {
        for phase in 0..PHASES {
            ROUND.fetch_add(1, Ordering::Relaxed);
            FIRST.start(cycles, || {
                FIRST.stop();
                EVENT.signal(());
                // The time from here on is measured by the second timer.
                SECOND
                    .start(PATIENCE, || panic!("round {}: the wake was lost", ROUND.load(Ordering::Relaxed)));
            });
            for _ in 0..phase {
                cortex_m::asm::nop();
            }
            EVENT.wait().await;
            TOOK.fetch_add(PATIENCE - SECOND.left(), Ordering::Relaxed);
            SECOND.stop();
        }
    }
}

#[entry]
fn main() -> ! {
    Uart.start();
    let peripherals = Peripherals::take().expect("this is the first call");
    let signals = Signals::new(&BELL, &SIGNALS);
    let run_context = RunContext::new(&signals);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<1>());
    let mut executor = Executor::<Quiet<'_, 1>>::new(&Fixed);
    let task = pool.as_ref().put(handle, rounds());
    assert!(task.ok().is_some_and(|(task, _)| executor.spawn(task.erase()).is_ok()), "a slot for the task");
    Quiet::new(Clock::start(peripherals.SYST), signals).run(&mut executor);
    let rounds = ROUND.load(Ordering::Relaxed);
    let took = TOOK.load(Ordering::Relaxed) * PHASES / rounds;
    let _ = writeln!(Uart, "swept: {rounds} interrupts, none lost; a wake takes {took} instructions");
    fault::end(false);
}
