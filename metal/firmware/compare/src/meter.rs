//! Counts the instructions of the server, without those of the clients. In QEMU with `-icount shift=0`, an instruction
//! takes a nanosecond of virtual time, and the timer counts a cycle for 40 of them.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU32, Ordering};

use sinbin_firmware::fault;
use sinbin_firmware::mps2::timer::FIRST;
use sinbin_firmware::mps2::uart::Uart;

/// The number of requests that are not counted, at the beginning, and of those that are.
const WARM_UP: u32 = 1_000;
const REQUESTS: u32 = 10_000;

/// The number of instructions in a cycle of the timer.
pub const INSTRUCTIONS: u32 = 40;

static REQUESTS_SO_FAR: AtomicU32 = AtomicU32::new(0);
static BEGAN: AtomicU32 = AtomicU32::new(0);
static ELSEWHERE: AtomicU32 = AtomicU32::new(0);

/// Starts the timer.
pub fn start() {
    Uart.start();
    FIRST.start(u32::MAX, || {});
}

/// Returns the cycles since start.
fn cycles() -> u32 {
    u32::MAX - FIRST.left()
}

/// Returns the microseconds since start.
#[must_use]
pub fn micros() -> u64 {
    u64::from(cycles() / 25)
}

/// Returns the cycles since start that the server has used. May wrap around.
#[must_use]
pub fn server_cycles() -> u32 {
    cycles().wrapping_sub(ELSEWHERE.load(Ordering::Relaxed))
}

/// Runs `act`, which is not part of the server.
pub fn elsewhere<R>(act: impl FnOnce() -> R) -> R {
    let began = cycles();
    let result = act();
    add(&ELSEWHERE, cycles() - began);
    result
}

/// Adds to a number that no interrupt changes, and returns the sum. The smallest cores have no instruction for that.
fn add(sum: &AtomicU32, more: u32) -> u32 {
    let sum_now = sum.load(Ordering::Relaxed).wrapping_add(more);
    sum.store(sum_now, Ordering::Relaxed);
    sum_now
}

/// Counts a request, and ends the program behind the last one.
pub fn count(name: &str) {
    match add(&REQUESTS_SO_FAR, 1) {
        WARM_UP => {
            BEGAN.store(cycles(), Ordering::Relaxed);
            ELSEWHERE.store(0, Ordering::Relaxed);
        }
        n if n == WARM_UP + REQUESTS => {
            let all = cycles() - BEGAN.load(Ordering::Relaxed) - ELSEWHERE.load(Ordering::Relaxed);
            let each = u64::from(all) * u64::from(INSTRUCTIONS) / u64::from(REQUESTS);
            let _ = writeln!(Uart, "{name}: {each} instructions a request");
            fault::end(false);
        }
        _ => {}
    }
}
