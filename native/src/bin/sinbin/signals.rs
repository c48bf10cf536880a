//! Ctrl-C, SIGTERM and SIGHUP: the first asks to stop, the second ends the process.

use std::sync::{Mutex, PoisonError};

use sinbin::Stopper;

/// The exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// Whom a signal stops, and whether one came.
struct Target {
    stopper: Option<Stopper>,
    interrupted: bool,
    installed: bool,
}

static TARGET: Mutex<Target> = Mutex::new(Target { stopper: None, interrupted: false, installed: false });

/// Has the first signal from here on stop what `stopper` stops; one that came before stops it at once.
pub(crate) fn stop_on_signal(stopper: Stopper) -> Result<(), ctrlc::Error> {
    let mut target = TARGET.lock().unwrap_or_else(PoisonError::into_inner);
    if target.interrupted {
        stopper.stop();
    }
    target.stopper = Some(stopper);
    if !target.installed {
        ctrlc::set_handler(interrupt)?;
        target.installed = true;
    }
    Ok(())
}

/// Whether a signal came.
pub(crate) fn interrupted() -> bool {
    TARGET.lock().unwrap_or_else(PoisonError::into_inner).interrupted
}

fn interrupt() {
    let mut target = TARGET.lock().unwrap_or_else(PoisonError::into_inner);
    if target.interrupted {
        std::process::exit(INTERRUPTED);
    }
    target.interrupted = true;
    if let Some(stopper) = &target.stopper {
        stopper.stop();
    }
}
