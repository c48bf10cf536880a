//! The timer that interrupts a guest that does not return from a call.
//!
//! The timer is an interval timer of the system that counts the CPU time of the process (`ITIMER_VIRTUAL`): in an idle
//! process it never fires. Its signal increments the engine's epoch. A thread that sleeps between ticks would work as
//! well, but system calls on sockets are cheaper in a process with one thread, by about five percent of a small
//! request.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

use wasmtime::Engine;

/// The number of ticks within the time limit of a turn.
const TICKS: u32 = 4;

/// The longest interval between two ticks. The stack of a guest is noted from the second tick of a call on.
const LONGEST: Duration = Duration::from_millis(250);

/// The fraction of the time limit that is left at the first tick, at least.
pub(crate) const REST: f32 = 0.75;

/// Returns the CPU time of this thread.
#[cfg(unix)]
pub(crate) fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the time since the first call: other systems do not provide the CPU time of a thread.
#[cfg(not(unix))]
pub(crate) fn computed() -> Duration {
    static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGAN.elapsed()
}

/// A timer that increments an engine's epoch until the process ends.
#[derive(Debug)]
pub struct Ticker(());

impl Ticker {
    /// Starts the timer, with an interval suitable for calls that may take `limit`.
    ///
    /// A process has one such timer. The most recent call sets its interval, and each tick increments the epochs of all
    /// engines. The function unblocks the timer's signal in this thread: the parent process may have left it blocked,
    /// and if it is blocked in all threads, no guest is ever interrupted.
    ///
    /// # Errors
    ///
    /// Fails if the signal handler or the timer can't be set.
    #[cfg(unix)]
    pub fn start(engine: &Engine, limit: Duration) -> io::Result<Self> {
        let engine = engine.clone();
        let tick = move || engine.increment_epoch();
        // SAFETY: the action only increments an atomic, which is safe in a signal handler. The engine is never dropped
        // in the handler, since the action is never unregistered.
        unsafe { signal_hook::low_level::register(signal_hook::consts::SIGVTALRM, tick)? };
        unblock(libc::SIGVTALRM)?;
        let pace = (limit / TICKS).clamp(Duration::from_millis(1), LONGEST);
        let pace = libc::timeval {
            tv_sec: libc::time_t::try_from(pace.as_secs()).unwrap_or(1),
            tv_usec: pace.subsec_micros() as libc::suseconds_t,
        };
        let timer = libc::itimerval { it_interval: pace, it_value: pace };
        // SAFETY: `timer` is a valid value that outlives the call. The null pointer means that the old value is not
        // wanted.
        match unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const timer, std::ptr::null_mut()) } {
            0 => Ok(Self(())),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Starts a thread that increments the engine's epoch, with an interval suitable for calls that may take `limit`.
    ///
    /// # Errors
    ///
    /// Fails if the thread can't be started.
    #[cfg(not(unix))]
    pub fn start(engine: &Engine, limit: Duration) -> io::Result<Self> {
        let engine = engine.weak();
        let pace = (limit / TICKS).clamp(Duration::from_millis(1), LONGEST);
        std::thread::Builder::new().name("sinbin-ticker".to_owned()).spawn(move || {
            while let Some(engine) = engine.upgrade() {
                std::thread::sleep(pace);
                engine.increment_epoch();
            }
        })?;
        Ok(Self(()))
    }
}

/// Unblocks a signal in this thread, and in the threads that it starts later.
#[cfg(unix)]
fn unblock(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: zeros are a valid value of this plain structure, and `sigemptyset` overwrites it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writes and outlives the calls. The first call initializes it.
    unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
    }
    // SAFETY: `set` is initialized and outlives the call. The null pointer means that the old mask is not wanted.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
