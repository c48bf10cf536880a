//! The children of this process that run, for one that is asked to end: they would go on without it.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{io, process, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// All that were started, and not forgotten since. Whoever holds it keeps others from starting more.
static CHILDREN: Mutex<Vec<Weak<Mutex<Process>>>> = Mutex::new(Vec::new());

/// A child, and whether those that it starts itself end with it.
pub(crate) struct Process {
    pub(crate) child: Child,
    leads: bool,
}

/// Starts a child that [`on_signal`] ends. With `leads`, it leads a process group of its own, and whatever it starts ends
/// with it.
pub(crate) fn spawn(command: &mut Command, leads: bool) -> io::Result<Arc<Mutex<Process>>> {
    let mut children = lock(&CHILDREN);
    // SAFETY: between fork and exec the closure makes system calls alone.
    unsafe { command.pre_exec(heed_signals) };
    if leads {
        command.process_group(0);
    }
    let process = Arc::new(Mutex::new(Process { child: command.spawn()?, leads }));
    children.retain(|child| child.strong_count() > 0);
    children.push(Arc::downgrade(&process));
    Ok(process)
}

/// Restores the signals' defaults: a test that runs in the background of a shell, or under `nohup`, ignores signals,
/// and its children are not to.
fn heed_signals() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // SAFETY: the default action is a valid one.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ends a child, if it runs still. In a process that a signal ends this does not return: nobody is to take the end of its
/// children for theirs.
pub(crate) fn end(process: &Mutex<Process>) {
    let _all = lock(&CHILDREN);
    lock(process).end();
}

impl Process {
    fn end(&mut self) {
        // Until somebody has waited for it, nobody else has its id.
        if self.leads && matches!(self.child.try_wait(), Ok(None)) {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Has the first SIGINT, SIGTERM or SIGHUP call `tell` with its number, and end this process with all its children that
/// are [`Running`](crate::Running). The exit code is 128 and that number, as a shell has it.
///
/// # Errors
///
/// When the system takes no handler.
pub fn end_on_signal(tell: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        // It is never given back: nobody starts another child, and nobody goes on without one.
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
