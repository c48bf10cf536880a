//! The actions of the signal handlers, and their registration: all unsafe code of the handling of signals.
//!
//! A handler may run between any two instructions of any thread, even while the thread allocates or holds a lock.
//! Therefore a handler must not allocate, lock or panic, and may call only async-signal-safe functions of the system
//! (`man 7 signal-safety`). [`Action::act`] obeys these rules. A handler can't execute anything else: an action is a
//! value of this module, and not a closure.
#![allow(unsafe_code)]

use std::io;

use crate::signals::count;
use sinbin::Stopper;

/// An action that is safe in a signal handler.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Counts the signal.
    Count,
    /// Stops a loop.
    Stop(Stopper),
    /// Shuts down the sending direction of a socket.
    #[cfg(unix)]
    Shut(std::sync::Arc<std::os::unix::net::UnixStream>),
}

impl Action {
    /// Executes the action. Each action is safe in a signal handler:
    ///
    /// - `count` swaps an atomic, and may call `_exit`.
    /// - [`Stopper::stop`] stores to two atomics, and makes the system call that wakes the loop: `write` to an eventfd
    ///   or a pipe, `kevent`, or `send`. Its parts are in an `Arc` that is not dropped here.
    /// - `UnixStream::shutdown` makes the system call of that name. Dropping its result frees no memory.
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
        // SAFETY: `Action::act` does only what is safe in a signal handler, as its documentation shows. The handler is
        // never unregistered, so the action is never dropped in a handler.
        unsafe { signal_hook::low_level::register(signal, move || action.act())? };
    }
    Ok(())
}

/// Returns true if the process ignores the signal.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: zeros are a valid value of this plain structure.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `action` is valid for writes and outlives the call. The null pointer means that no new action is set.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// The signals that must not be blocked: those that request a stop, that interrupt guests, that a write beyond a limit
/// raises, and those of faults, by which wasmtime catches a guest's trap. A fault whose signal is blocked ends the
/// process.
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
    // SAFETY: the default action runs no code of this process.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeros are a valid value of this plain structure, and `sigemptyset` overwrites it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writes and outlives the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in NEEDED {
        // SAFETY: `set` is initialized, and `signal` is a valid signal number.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    // SAFETY: `set` is initialized and outlives the call. The null pointer means that the old mask is not wanted.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Registers an action. On these systems, a separate thread receives the signals. It has a single handler, which
/// executes all registered actions.
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
