//! Ctrl-C, SIGTERM and SIGHUP: the first asks to stop, the second ends the process.
//!
//! A signal that is ignored when the process starts stays so: that is what `nohup` does to SIGHUP, and a shell to the SIGINT
//! of what it starts in the background.
//!
//! On Unix this is done in the signal handler itself, without a thread that waits for signals: in a process of
//! one thread the kernel need not count who else uses a descriptor, which is some percent of the time of a small
//! request. This module, the clock and those of the reactor that register sources are all that is unsafe.
#![allow(unsafe_code)]

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// A signal came.
static CAME: AtomicBool = AtomicBool::new(false);

/// Counts signals; the first thing that any of them does.
static COUNTED: Once = Once::new();

/// Whether a signal came.
pub fn interrupted() -> bool {
    CAME.load(Ordering::Acquire)
}

/// Has the first signal call `stop`; one that came before does so at once. It may do only what is safe in a signal
/// handler, as [`Stopper::stop`](crate::Stopper::stop) does.
///
/// # Errors
///
/// When the system takes no handler.
pub fn stop_on_signal(stop: impl Fn() + Clone + Send + Sync + 'static) -> io::Result<()> {
    let mut counted = Ok(());
    COUNTED.call_once(|| counted = on_signal(count));
    counted?;
    on_signal(stop.clone())?;
    if interrupted() {
        stop();
    }
    Ok(())
}

/// Has a file that is as large as the process may have any be an error of whoever writes to it, and not the end of the
/// process.
///
/// # Errors
///
/// When the system takes no handler.
pub fn outlive_full_files() -> io::Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default())?;
    Ok(())
}

fn count() {
    if CAME.swap(true, Ordering::AcqRel) {
        end();
    }
}

#[cfg(unix)]
fn on_signal(action: impl Fn() + Clone + Send + Sync + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if is_ignored(signal) {
            continue;
        }
        // SAFETY: an action may do only what is safe in a signal handler. Those that there are store to atomics, write to
        // the reactor's eventfd, socket or pipe, shut down a socket, and leave by `_exit`: no lock, no allocation, no panic.
        unsafe { signal_hook::low_level::register(signal, action.clone())? };
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

#[cfg(unix)]
fn end() {
    signal_hook::low_level::exit(INTERRUPTED);
}

/// Elsewhere signals come to a thread of their own, which has one action.
#[cfg(not(unix))]
fn on_signal(action: impl Fn() + Send + 'static) -> io::Result<()> {
    use std::sync::{Mutex, PoisonError};

    static ACTIONS: Mutex<Vec<Box<dyn Fn() + Send>>> = Mutex::new(Vec::new());
    let mut actions = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_first = actions.is_empty();
    actions.push(Box::new(action));
    drop(actions);
    if is_first {
        let all = || {
            let actions = ACTIONS.lock().unwrap_or_else(PoisonError::into_inner);
            actions.iter().for_each(|action| action());
        };
        ctrlc::set_handler(all).map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn end() {
    std::process::exit(INTERRUPTED);
}
