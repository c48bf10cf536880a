//! Commands that start with all signals blocked and SIGCHLD ignored. A parent that waits for signals itself leaves
//! signals blocked; a parent that never waits for its children ignores SIGCHLD.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{io, mem, ptr};

/// Returns the command, which starts with every signal blocked that can be blocked, and with SIGCHLD ignored.
#[must_use]
pub fn with_signals_blocked(mut command: Command) -> Command {
    // SAFETY: between fork and exec the closure only makes system calls.
    unsafe { command.pre_exec(block_all) };
    command
}

fn block_all() -> io::Result<()> {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    // SAFETY: zeros are a valid value of this plain structure, and it is overwritten.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is valid for writes and outlives the call.
    unsafe { libc::sigfillset(&raw mut set) };
    // SAFETY: `set` is initialized and outlives the call; the null pointer means that no old set is returned.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
