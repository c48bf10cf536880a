//! The handling of Ctrl-C, SIGTERM and SIGHUP: the first signal requests a stop, the second ends the process.
//!
//! A signal that is ignored when the process starts stays ignored: `nohup` ignores SIGHUP, and a shell ignores SIGINT
//! for processes in the background. A signal that is blocked when the process starts is unblocked ([`unblock`]): a
//! parent that waits for signals itself may leave them blocked, and then the server could not be stopped, and a guest
//! could not be interrupted.
//!
//! On Unix, the signal handler does the work itself, without a thread that waits for signals. In a process with one
//! thread, the kernel does not count the users of a descriptor, which saves some percent of the time of a small
//! request. A handler can execute only the actions of `signals/action.rs`, and no closures.

mod action;

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use action::{Action, on_signal};
use sinbin::Stopper;

/// The exit code of a process that the second signal ended.
const INTERRUPTED: i32 = 130;

/// True once a signal has arrived.
static CAME: AtomicBool = AtomicBool::new(false);

/// The registration of the action that counts signals. It is registered before any other, so that it runs first.
static COUNTED: Once = Once::new();

/// Returns true if a signal has arrived.
pub fn interrupted() -> bool {
    CAME.load(Ordering::Acquire)
}

/// Makes the first signal stop a loop. Stops the loop at once if a signal has already arrived.
///
/// # Errors
///
/// Fails if the handlers can't be set.
pub fn stop_on_signal(stopper: Stopper) -> io::Result<()> {
    act_on_signal(Action::Stop(stopper))
}

/// Makes the first signal shut down the sending direction of `socket`. Does so at once if a signal has already arrived.
///
/// # Errors
///
/// Fails if the handlers can't be set.
#[cfg(unix)]
pub fn shut_on_signal(socket: std::sync::Arc<std::os::unix::net::UnixStream>) -> io::Result<()> {
    act_on_signal(Action::Shut(socket))
}

/// Catches signals from now on. The first signal does not end the process, but makes a later [`stop_on_signal`] stop its
/// loop at once. A server calls this before it binds, so that a supervisor that can connect can stop it.
///
/// # Errors
///
/// Fails if the handlers can't be set.
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

/// Makes a write beyond the limit on the size of files (`ulimit -f`) fail with an error, instead of ending the process
/// by SIGXFSZ.
///
/// # Errors
///
/// Fails if the handler can't be set.
pub fn outlive_full_files() -> io::Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default())?;
    Ok(())
}

/// Unblocks the signals that this process depends on, in this thread and in the threads that it starts: they may have
/// been inherited as blocked. Also resets SIGCHLD to its default: if it was inherited as ignored, this process could
/// not get the exit status of its children.
///
/// # Errors
///
/// Fails with the system's error.
pub fn unblock() -> io::Result<()> {
    #[cfg(unix)]
    action::unblock()?;
    Ok(())
}

/// Counts a signal, and ends the process at the second one.
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
