//! The clock that interrupts a guest which does not come back.
//!
//! It is an interval timer of the system's that runs while the process computes (`ITIMER_VIRTUAL`): idle, it never goes
//! off. Its signal moves the engine's epoch on. A thread that sleeps between ticks would do as well, but in a process
//! of one thread each system call on a socket is cheaper, by some five percent of a small request.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

use wasmtime::Engine;

/// How often the clock ticks within the time that a turn may take.
const TICKS: u32 = 4;

/// Of that time, what is left at the first tick, or more.
pub(crate) const REST: f32 = 0.75;

/// How long this thread has computed.
#[cfg(unix)]
pub(crate) fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Elsewhere, time that passes has to do.
#[cfg(not(unix))]
pub(crate) fn computed() -> Duration {
    static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGAN.elapsed()
}

/// Moves an engine's epoch on, from here to the process's end.
#[derive(Debug)]
pub struct Ticker(());

impl Ticker {
    /// Begins to tick, so that a call may take `limit`. One process has one such clock: the last one that was started
    /// sets its pace, and all engines hear it. Its signal is unblocked in this thread: a parent may have left it blocked,
    /// and where no thread takes it nothing is ever interrupted.
    ///
    /// # Errors
    ///
    /// When the system has no such timer.
    #[cfg(unix)]
    pub fn start(engine: &Engine, limit: Duration) -> io::Result<Self> {
        let engine = engine.clone();
        let tick = move || engine.increment_epoch();
        // SAFETY: the action does only what is safe in a signal handler: it adds to an atomic. (The engine is never
        // dropped, as the action is never unregistered.)
        unsafe { signal_hook::low_level::register(signal_hook::consts::SIGVTALRM, tick)? };
        unblock(libc::SIGVTALRM)?;
        let pace = (limit / TICKS).clamp(Duration::from_millis(1), Duration::from_secs(1));
        let pace = libc::timeval {
            tv_sec: libc::time_t::try_from(pace.as_secs()).unwrap_or(1),
            tv_usec: pace.subsec_micros() as libc::suseconds_t,
        };
        let timer = libc::itimerval { it_interval: pace, it_value: pace };
        // SAFETY: `timer` is a valid value that lives as long as the call; nothing is asked for in return.
        match unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const timer, std::ptr::null_mut()) } {
            0 => Ok(Self(())),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Elsewhere, a thread ticks.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    #[cfg(not(unix))]
    pub fn start(engine: &Engine, limit: Duration) -> io::Result<Self> {
        let engine = engine.weak();
        let pace = (limit / TICKS).clamp(Duration::from_millis(1), Duration::from_secs(1));
        std::thread::Builder::new().name("sinbin-ticker".to_owned()).spawn(move || {
            while let Some(engine) = engine.upgrade() {
                std::thread::sleep(pace);
                engine.increment_epoch();
            }
        })?;
        Ok(Self(()))
    }
}

/// Unblocks a signal in this thread, and in those that it starts.
#[cfg(unix)]
fn unblock(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: zeros are a valid value of this plain structure, and it is overwritten.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place that lives as long as the calls, the first of which initializes it.
    unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
    }
    // SAFETY: `set` is an initialized set that lives as long as the call; nothing is asked for in return.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
