//! Ctrl-C, SIGTERM and SIGHUP: the first asks to stop, the second ends the process.
//!
//! A signal that is ignored when the process starts stays so: that is what `nohup` does to SIGHUP, and a shell to the SIGINT
//! of what it starts in the background. One that is blocked then is not blocked any more ([`unblock`]): that is what a parent
//! leaves behind that waited for signals itself, and such a server could not be stopped, nor a guest interrupted.
//!
//! On Unix this is done in the signal handler itself, without a thread that waits for signals: in a process of
//! one thread the kernel need not count who else uses a descriptor, which is some percent of the time of a small
//! request. What a handler can do is one of the few things in `signals/action.rs`, and nobody's closure.

mod action;

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use action::{Action, on_signal};
use sinbin::Stopper;

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

/// Has the first signal stop a loop; one that came before does so at once.
///
/// # Errors
///
/// When the system takes no handler.
pub fn stop_on_signal(stopper: Stopper) -> io::Result<()> {
    act_on_signal(Action::Stop(stopper))
}

/// Has the first signal end what is sent by `socket`; one that came before does so at once.
///
/// # Errors
///
/// When the system takes no handler.
#[cfg(unix)]
pub fn shut_on_signal(socket: std::sync::Arc<std::os::unix::net::UnixStream>) -> io::Result<()> {
    act_on_signal(Action::Shut(socket))
}

/// Keeps signals for what is to stop by the first of them, which [`stop_on_signal`] has then do so at once. A server calls it
/// before it binds: whoever can connect can stop it.
///
/// # Errors
///
/// When the system takes no handler.
pub fn keep_signals() -> io::Result<()> {
    let mut counted = Ok(());
    COUNTED.call_once(|| counted = on_signal(Action::Count));
    counted
}

fn act_on_signal(action: Action) -> io::Result<()> {
    keep_signals()?;
    on_signal(action.clone())?;
    if interrupted() {
        action.act();
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

/// Unblocks the signals that this process depends on, in this thread and those that it starts. A parent that has blocked
/// them leaves them so. Of processes that this one starts it hears again, should its parent have ignored those of its own.
///
/// # Errors
///
/// The system's error.
pub fn unblock() -> io::Result<()> {
    #[cfg(unix)]
    action::unblock()?;
    Ok(())
}

/// Counts a signal, and ends the process with the second.
fn count() {
    if CAME.swap(true, Ordering::AcqRel) {
        end();
    }
}

#[cfg(unix)]
fn end() {
    signal_hook::low_level::exit(INTERRUPTED);
}

#[cfg(not(unix))]
fn end() {
    std::process::exit(INTERRUPTED);
}
