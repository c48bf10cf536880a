//! Signals of the system, as futures (with the feature `signal`).
//!
//! ```
//! # #[cfg(unix)]
//! # fn main() -> Result<(), sinbin::Error> {
//! use sinbin::signal::{Kind, Signal};
//!
//! sinbin::run(async |handle| {
//!     let mut hangup = Signal::new(handle, Kind::Hangup)?;
//!     # signal_hook::low_level::raise(signal_hook::consts::SIGHUP).unwrap();
//!     hangup.recv().await?; // reload the configuration
//!     Ok::<_, sinbin::task::Error>(())
//! })?
//! .unwrap();
//! # Ok(())
//! # }
//! # #[cfg(not(unix))]
//! # fn main() {}
//! ```
//!
//! A signal that has been waited for once no longer has its default effect: a program that waits for Ctrl-C once, and is
//! not to ignore the next one, waits again or ends.

use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::low_level::{pipe, unregister};
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Conn, Error, Handle};
use sinbin_core::{IoError, SourceId};

/// A signal that a program can wait for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
    /// SIGTERM, the request to end.
    Terminate,
    /// SIGHUP, by convention the request to reload the configuration.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl Kind {
    const fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
            Self::Hangup => SIGHUP,
            Self::User1 => SIGUSR1,
            Self::User2 => SIGUSR2,
        }
    }
}

/// The signals of a kind that the process receives from the creation of this value on.
#[derive(Debug)]
pub struct Signal<'d> {
    /// A byte comes for each signal. Signals that come before the task has received the byte may be merged.
    bytes: Conn<'d>,
    id: SigId,
}

impl<'d> Signal<'d> {
    /// Begins to receive signals.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with [`IoError::NoRoom`] if the loop is at its limit of connections.
    pub fn new(handle: Handle<'d>, kind: Kind) -> Result<Self, Error> {
        let (bytes, sender) = UnixStream::pair().map_err(failed)?;
        let bytes = handle.adopt(bytes)?;
        let id = pipe::register(kind.number(), sender).map_err(failed)?;
        Ok(Self { bytes, id })
    }

    /// Waits for the next signal. Signals that came since the last call count as one.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::Stopping`] once the loop is to stop, and with a
    /// [`WaitError`](crate::task::WaitError) if the task must not wait.
    pub async fn recv(&mut self) -> Result<(), Error> {
        self.bytes.recv(&mut [0; 64]).await.map(|_| ())
    }
}

impl Drop for Signal<'_> {
    fn drop(&mut self) {
        unregister(self.id);
    }
}

/// Waits for Ctrl-C (SIGINT).
///
/// # Errors
///
/// Fails as [`Signal::new`] and [`Signal::recv`] do.
pub async fn ctrl_c(handle: Handle<'_>) -> Result<(), Error> {
    Signal::new(handle, Kind::Interrupt)?.recv().await
}

/// Waits for SIGTERM.
///
/// # Errors
///
/// Fails as [`Signal::new`] and [`Signal::recv`] do.
pub async fn terminate(handle: Handle<'_>) -> Result<(), Error> {
    Signal::new(handle, Kind::Terminate)?.recv().await
}

/// Waits for SIGHUP.
///
/// # Errors
///
/// Fails as [`Signal::new`] and [`Signal::recv`] do.
pub async fn hangup(handle: Handle<'_>) -> Result<(), Error> {
    Signal::new(handle, Kind::Hangup)?.recv().await
}

/// Waits for Ctrl-C or SIGTERM, and then stops the loop: see [`Handle::stop`]. From then on, until this future is
/// dropped, a further signal of these ends the process with the exit code 130. The future completes only with an error:
/// spawn it as a task of its own, which ends with the program.
///
/// # Errors
///
/// Fails as [`Signal::new`] and [`Signal::recv`] do.
pub async fn stop(handle: Handle<'_>) -> Result<(), Error> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use signal_hook::flag::register_conditional_shutdown;

    /// The handlers that end the process. A later program of this process begins without them.
    struct Registered(Vec<SigId>);
    impl Drop for Registered {
        fn drop(&mut self) {
            for id in self.0.drain(..) {
                unregister(id);
            }
        }
    }

    let is_stopping = Arc::new(AtomicBool::new(false));
    let mut registered = Registered(Vec::new());
    for kind in [Kind::Interrupt, Kind::Terminate] {
        let id = register_conditional_shutdown(kind.number(), 130, Arc::clone(&is_stopping));
        registered.0.push(id.map_err(failed)?);
    }
    let mut interrupt = Signal::new(handle, Kind::Interrupt)?;
    let mut terminate = Signal::new(handle, Kind::Terminate)?;
    let asked = crate::task::race(interrupt.recv(), terminate.recv()).await;
    is_stopping.store(true, Ordering::SeqCst);
    asked?;
    handle.stop()?;
    std::future::pending().await
}

fn failed(error: std::io::Error) -> Error {
    Error::Failed(Failure {
        op: Op::Wait,
        source: SourceId::from_bits(u64::MAX),
        error: IoError::from(error),
    })
}
