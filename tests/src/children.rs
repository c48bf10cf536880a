//! The running children of this process. If a signal ends this process, it ends its children first, because they would
//! otherwise continue to run.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{io, process, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// All children that were started and are still referenced. While the lock is held, no thread can start another child.
static CHILDREN: Mutex<Vec<Weak<Mutex<Process>>>> = Mutex::new(Vec::new());

/// A child process.
pub(crate) struct Process {
    pub(crate) child: Child,
    leads: bool,
}

/// Starts a child that [`end_on_signal`] ends. With `leads`, the child leads its own process group, and the processes
/// that the child starts end with it.
pub(crate) fn spawn(command: &mut Command, leads: bool) -> io::Result<Arc<Mutex<Process>>> {
    let mut children = lock(&CHILDREN);
    // SAFETY: between fork and exec the closure only makes system calls.
    unsafe { command.pre_exec(heed_signals) };
    if leads {
        command.process_group(0);
    }
    let process = Arc::new(Mutex::new(Process { child: command.spawn()?, leads }));
    children.retain(|child| child.strong_count() > 0);
    children.push(Arc::downgrade(&process));
    Ok(process)
}

/// Restores the default actions of the signals. A test that runs in the background of a shell, or under `nohup`,
/// ignores signals; its children must not inherit that.
fn heed_signals() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // SAFETY: `SIG_DFL` is a valid action.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ends a child if it is still running. In a process that a signal ends this function does not return, so that no
/// caller mistakes the end of the children for a result.
pub(crate) fn end(process: &Mutex<Process>) {
    let _all = lock(&CHILDREN);
    lock(process).end();
}

impl Process {
    fn end(&mut self) {
        // Until the child is waited for, its id cannot be reused.
        if self.leads && matches!(self.child.try_wait(), Ok(None)) {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Registers a handler: the first SIGINT, SIGTERM or SIGHUP ends all children that are [`Running`](crate::Running),
/// calls `tell` with the signal's number, and ends this process. The exit code is 128 plus that number, as in a shell.
///
/// # Errors
///
/// Fails if the handler cannot be registered.
pub fn end_on_signal(tell: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        // The lock is never released: no thread can start another child or return from [`end`].
        let children = lock(&CHILDREN);
        for child in children.iter().filter_map(Weak::upgrade) {
            lock(&child).end();
        }
        tell(signal);
        process::exit(128 + signal);
    });
    Ok(())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
