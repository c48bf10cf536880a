//! A driver that was written for embassy: the crate `async-debounce` watches a pin that bounces, by `embedded-hal-async`
//! and `embassy-time`. Its presses go through a channel of `embassy-sync` to a task that writes lines by
//! `embedded-io-async`. An interrupt presses the button three times.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_debounce::Debouncer;
use cortex_m::Peripherals;
use cortex_m_rt::entry;
use embassy_sync::blocking_mutex::raw::{CriticalSectionRawMutex, NoopRawMutex};
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal as Event;
use embassy_time::{Duration, Instant};
use embedded_hal::digital::{ErrorType, InputPin};
use embedded_hal_async::digital::Wait;
use embedded_io_async::Write;
use sinbin_core::task::{Bell, Handle, Pool, RunContext, Signal, Signals};
use sinbin_core::{Executor, Fixed};
use sinbin_firmware::mps2::clock::Clock;
use sinbin_firmware::mps2::timer::FIRST;
use sinbin_firmware::mps2::uart::Uart;
use sinbin_firmware::quiet::Quiet;
use sinbin_firmware::{embassy, fault};

const PRESSES: u32 = 3;

static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; 2] = [const { Signal::new(&BELL) }; 2];

/// The level of the pin, and its edges.
static LEVEL: AtomicBool = AtomicBool::new(false);
static EDGES: Event<CriticalSectionRawMutex, ()> = Event::new();

/// The number of interrupts so far.
static STEPS: AtomicU32 = AtomicU32::new(0);

/// Moves the button: ten edges in ten milliseconds, then ten milliseconds of rest, pressed and released in turn.
fn bounce() {
    let step = STEPS.load(Ordering::Relaxed);
    STEPS.store(step + 1, Ordering::Relaxed);
    let (stage, within) = (step / 20, step % 20);
    let rests_at = stage % 2 == 0;
    LEVEL.store(if within < 9 { within % 2 == 0 } else { rests_at }, Ordering::Relaxed);
    EDGES.signal(());
}

/// The pin of the button, as a driver of `embedded-hal`.
struct Pin;

impl ErrorType for Pin {
    type Error = Infallible;
}

impl InputPin for Pin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(LEVEL.load(Ordering::Relaxed))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}

impl Wait for Pin {
    async fn wait_for_high(&mut self) -> Result<(), Infallible> {
        while self.is_low()? {
            EDGES.wait().await;
        }
        Ok(())
    }

    async fn wait_for_low(&mut self) -> Result<(), Infallible> {
        while self.is_high()? {
            EDGES.wait().await;
        }
        Ok(())
    }

    async fn wait_for_rising_edge(&mut self) -> Result<(), Infallible> {
        self.wait_for_low().await?;
        self.wait_for_high().await
    }

    async fn wait_for_falling_edge(&mut self) -> Result<(), Infallible> {
        self.wait_for_high().await?;
        self.wait_for_low().await
    }

    async fn wait_for_any_edge(&mut self) -> Result<(), Infallible> {
        EDGES.wait().await;
        Ok(())
    }
}

type Presses = Channel<NoopRawMutex, u64, 2>;

/// Passes on the time of each press, in milliseconds.
async fn watch(presses: &Presses) {
    let mut button = Debouncer::new(Pin, Duration::from_millis(15));
    for _ in 0..PRESSES {
        let Ok(()) = button.wait_for_rising_edge().await;
        presses.send(Instant::now().as_millis()).await;
        let Ok(()) = button.wait_for_falling_edge().await;
    }
}

/// Writes a line for each press.
async fn report(presses: &Presses, mut port: impl Write) {
    for number in 1..=PRESSES {
        let _at = presses.receive().await;
        let mut line = *b"pressed 0\n";
        line[8] += u8::try_from(number).unwrap_or(9);
        if port.write_all(&line).await.is_err() {
            return;
        }
    }
}

#[entry]
fn main() -> ! {
    Uart.start();
    let peripherals = Peripherals::take().expect("this is the first call");
    let clock = Clock::start(peripherals.SYST);
    embassy::start(clock);
    let signals = Signals::new(&BELL, &SIGNALS);
    let run_context = RunContext::new(&signals);
    let handle = Handle::new(&run_context);
    let presses = Presses::new();
    let (watching, reporting) = (pin!(Pool::<_, _>::fixed::<1>()), pin!(Pool::<_, _>::fixed::<1>()));
    let mut executor = Executor::<Quiet<'_, 2>>::new(&Fixed);
    let watching = watching.as_ref().put(handle, watch(&presses)).ok().map(|(task, _)| task.erase());
    let reporting = reporting.as_ref().put(handle, report(&presses, Uart)).ok().map(|(task, _)| task.erase());
    for task in [watching, reporting].into_iter().flatten() {
        assert!(executor.spawn(task).is_ok(), "there is a slot for each task");
    }
    FIRST.start(25_000, bounce);
    Quiet::new(clock, signals).run(&mut executor);
    fault::end(false);
}
