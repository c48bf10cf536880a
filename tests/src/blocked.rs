//! Commands that start with signals blocked, as a parent leaves them that has waited for them itself, and with SIGCHLD
//! ignored, as one leaves it that never waits for its children.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{io, mem, ptr};

/// Returns the command, which will start with each signal blocked that can be, and SIGCHLD ignored.
#[must_use]
pub fn with_signals_blocked(mut command: Command) -> Command {
    // SAFETY: between fork and exec the closure makes system calls alone.
    unsafe { command.pre_exec(block_all) };
    command
}

fn block_all() -> io::Result<()> {
    // SAFETY: to ignore a signal is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    // SAFETY: zeros are a valid value of this plain structure, and it is overwritten.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is a valid place that lives as long as the call.
    unsafe { libc::sigfillset(&raw mut set) };
    // SAFETY: `set` is an initialized set that lives as long as the call; nothing is asked for in return.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
