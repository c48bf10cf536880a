//! The actions of a signal handler, and how it is set: all of the handling of signals that is unsafe.
//!
//! A handler may run between any two instructions of any thread: also while that thread allocates, or holds a lock. So it may
//! allocate nothing, lock nothing and panic nowhere, and of the system's functions it may call those that are
//! async-signal-safe (`man 7 signal-safety`). [`Action::act`] keeps to that, and there is no other way to have anything done
//! in a handler: an action is a value of this module's, not a closure.
#![allow(unsafe_code)]

use std::io;

use crate::signals::count;
use sinbin::Stopper;

/// Something that may be done in a signal handler.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Counts the signal.
    Count,
    /// Stops a loop.
    Stop(Stopper),
    /// Ends what is sent by a socket.
    #[cfg(unix)]
    Shut(std::sync::Arc<std::os::unix::net::UnixStream>),
}

impl Action {
    /// Does it. Each of these is safe in a signal handler:
    ///
    /// - `count` swaps an atomic, and leaves by `_exit`.
    /// - [`Stopper::stop`] stores to two atomics, and makes the system call that wakes the loop: `write` to an eventfd or a
    ///   pipe, `kevent`, or `send`. Its parts are behind an `Arc` that is not dropped here.
    /// - `UnixStream::shutdown` is the system call of that name; its result is dropped, which frees nothing.
    ///
    /// `errno` is restored by `signal_hook`.
    pub(super) fn act(&self) {
        match self {
            Self::Count => count(),
            Self::Stop(stopper) => stopper.stop(),
            #[cfg(unix)]
            Self::Shut(socket) => drop(socket.shutdown(std::net::Shutdown::Write)),
        }
    }
}

#[cfg(unix)]
pub(super) fn on_signal(action: Action) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if is_ignored(signal) {
            continue;
        }
        let action = action.clone();
        // SAFETY: `Action::act` does only what is safe in a signal handler, as is argued there. The handler is never
        // unregistered, so that the action is never dropped in one.
        unsafe { signal_hook::low_level::register(signal, move || action.act())? };
    }
    Ok(())
}

/// Returns true if the process is to know nothing of the signal.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: zeros are a valid value of this plain structure, and it is overwritten.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `action` is a valid place that lives as long as the call; no new action is given.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// The signals that ask to stop, that interrupt guests, that a write beyond a limit raises, and those of faults, by which
/// wasmtime catches a guest's trap: blocked, these end the process.
#[cfg(unix)]
const NEEDED: [i32; 9] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGVTALRM,
    libc::SIGXFSZ,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
];

#[cfg(unix)]
pub(super) fn unblock() -> io::Result<()> {
    // SAFETY: the default action is no handler of anybody's.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeros are a valid value of this plain structure, and it is overwritten.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place that lives as long as the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in NEEDED {
        // SAFETY: `set` is an initialized set, and the signal is one of the system's.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    // SAFETY: `set` is an initialized set that lives as long as the call; nothing is asked for in return.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Elsewhere signals come to a thread of their own, which has one action.
#[cfg(not(unix))]
pub(super) fn on_signal(action: Action) -> io::Result<()> {
    use std::sync::{Mutex, PoisonError};

    static ACTIONS: Mutex<Vec<Action>> = Mutex::new(Vec::new());
    let mut actions = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_first = actions.is_empty();
    actions.push(action);
    drop(actions);
    if is_first {
        let all = || {
            let actions = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
            actions.iter().for_each(Action::act);
        };
        ctrlc::set_handler(all).map_err(io::Error::other)?;
    }
    Ok(())
}
