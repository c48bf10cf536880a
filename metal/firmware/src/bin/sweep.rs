//! Interrupts at every instruction of the loop: each must wake its task. Run it by `-icount shift=0,sleep=off`, where the
//! timer counts one cycle for 40 instructions, asleep or not: it is armed for each number of cycles in a range, behind 0
//! to 39 instructions that do nothing. The range covers a whole round of the loop, so that the interrupt comes at each of its instructions.

#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m_rt::entry;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal as Event;
use sinbin_core::task::{Bell, Handle, Pool, RoundRobin, RunContext, Signal, Signals, WakeFlag};
use sinbin_core::{Executor, Fixed};
use sinbin_firmware::fault;
use sinbin_firmware::mps2::clock::{self, Clock};
use sinbin_firmware::mps2::timer::{FIRST, SECOND};
use sinbin_firmware::mps2::uart::Uart;
use sinbin_firmware::quiet::Quiet;
use sinbin_firmware::round_robin;

/// The cycles of the timer until the interrupt: up to 4,000 instructions, more than a round of the loop.
const CYCLES: core::ops::Range<u32> = 2..100;

/// The number of instructions in a cycle.
const PHASES: u32 = 40;

/// The cycles within which a task must have been woken: far more than a round of the loop takes.
const PATIENCE: u32 = 25_000;

static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; 1] = [const { Signal::new(&BELL) }; 1];
static EVENT: Event<CriticalSectionRawMutex, ()> = Event::new();

static FLAGS: [WakeFlag; 1] = [const { WakeFlag::new() }; 1];

/// The value of SysTick when the interrupt woke the task.
static BEGAN: AtomicU32 = AtomicU32::new(0);

static ROUND: AtomicU32 = AtomicU32::new(0);

/// The cycles that a wake took: all of them together.
static TOOK: AtomicU32 = AtomicU32::new(0);

/// The most cycles from an interrupt to its handler, or one more.
static LATE: AtomicU32 = AtomicU32::new(0);

/// The cycles of SysTick from one tick of the clock to the next.
const TICK: u32 = clock::CYCLES;

/// Waits for an interrupt in each round.
async fn rounds() {
    for cycles in CYCLES {
        for phase in 0..PHASES {
            ROUND.fetch_add(1, Ordering::Relaxed);
            FIRST.start_then(cycles, PATIENCE, || {
                // The timer shows zero for a cycle before it begins again, and a cycle has begun.
                let late = (PATIENCE - FIRST.left()) % PATIENCE + 2;
                LATE.store(LATE.load(Ordering::Relaxed).max(late), Ordering::Relaxed);
                FIRST.stop();
                SECOND
                    .start(PATIENCE, || panic!("round {}: the wake was lost", ROUND.load(Ordering::Relaxed)));
                BEGAN.store(SYST::get_current(), Ordering::Relaxed);
                EVENT.signal(());
            });
            for _ in 0..phase {
                cortex_m::asm::nop();
            }
            EVENT.wait().await;
            // SysTick counts down, and begins again behind zero.
            let (began, ended) = (BEGAN.load(Ordering::Relaxed), SYST::get_current());
            let took = if ended > began { began + TICK - ended } else { began - ended };
            TOOK.fetch_add(took, Ordering::Relaxed);
            SECOND.stop();
        }
    }
}

/// Prints the result of a sweep, and begins the next one.
fn report(name: &str) {
    let (rounds, took) = (ROUND.load(Ordering::Relaxed), TOOK.load(Ordering::Relaxed));
    let each = took * PHASES / rounds;
    let late = LATE.load(Ordering::Relaxed) * PHASES;
    let _ = writeln!(
        Uart,
        "{name}: {rounds} interrupts, none lost; a wake takes {each} instructions; a handler begins within {late} instructions"
    );
    LATE.store(0, Ordering::Relaxed);
    ROUND.store(0, Ordering::Relaxed);
    TOOK.store(0, Ordering::Relaxed);
}

/// Sweeps the loop of a [`RoundRobin`].
fn sweep_round_robin() {
    let task: Pin<&mut dyn Future<Output = ()>> = pin!(rounds());
    round_robin::run(&mut RoundRobin::new(&FLAGS, [task]));
    report("round robin");
}

/// Sweeps the loop of an [`Executor`].
fn sweep_kernel(clock: Clock) {
    let signals = Signals::new(&BELL, &SIGNALS);
    let run_context = RunContext::new(&signals);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<1>());
    let mut executor = Executor::<Quiet<'_, 1>>::new(&Fixed);
    let task = pool.as_ref().put(handle, rounds());
    assert!(task.ok().is_some_and(|(task, _)| executor.spawn(task.erase()).is_ok()), "a slot for the task");
    Quiet::new(clock, signals).run(&mut executor);
    report("kernel");
}

#[entry]
fn main() -> ! {
    Uart.start();
    let peripherals = Peripherals::take().expect("this is the first call");
    let clock = Clock::start(peripherals.SYST);
    sweep_round_robin();
    sweep_kernel(clock);
    fault::end(false);
}
