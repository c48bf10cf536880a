//! Ctrl-C and SIGTERM: the first signal asks to stop, the second ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The signal that asked to stop, if any.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Registers for SIGINT and SIGTERM.
    #[cfg(unix)]
    pub(crate) fn on_signal() -> io::Result<Self> {
        use std::sync::atomic::AtomicBool;

        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;

        let stop = Self::default();
        let again = Arc::new(AtomicBool::new(false));
        for (signal, number) in [(SIGINT, 2), (SIGTERM, 15)] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&stop.0), number)?;
        }
        Ok(stop)
    }

    /// Registers nothing: on other systems the signals end the process.
    #[cfg(not(unix))]
    pub(crate) fn on_signal() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Returns the exit code if a signal arrived: 128 plus the signal's number, as in a shell.
    pub(crate) fn code(&self) -> Option<u8> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}
