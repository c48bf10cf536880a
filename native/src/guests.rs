//! The I/O half of a [driven](crate::driven) loop: sockets, workers and the clock, for a guest that has none of them.
//!
//! A *guest* is a service and its tasks behind a single call, [`Guest::turn`]. [`GuestServer`] collects events, calls
//! the guest, and executes the commands in its answer, wherever the guest runs: `sinbin-wasi` runs it in a sandbox, and
//! [`InProcess`] in the current process. The input of its turns is all that a guest ever learns. Turns can therefore be
//! recorded and played back.
//!
//! ```
//! use sinbin::guests::{GuestServer, GuestSettings, InProcess};
//! use sinbin::echo::Echo;
//!
//! let mut server = GuestServer::new(InProcess::new(|_| Ok(Echo::default())), &GuestSettings::default())?;
//! println!("listening on {}", server.listen("127.0.0.1:0".parse().unwrap())?);
//! # server.stopper().stop();
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod in_process;
mod input;
mod jobs;
mod listen_permission;
mod log;
mod outgoing;
mod permission;
mod playback;
mod played;
mod recorder;
mod restarts;
mod server;
mod settings;
mod source_table;
mod story;
mod surroundings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sinbin_core::Instant;
use sinbin_core::driven::{Computed, Event, ServiceLimits, ServiceSettings, Tally, TurnOutput};

use crate::caught::caught;
use crate::observe::GuestTables;

pub use in_process::{InProcess, InProcessHost, StartError};
pub use input::LIMIT;
pub use listen_permission::{ListenPermission, ParseListenPermissionError};
pub use log::one_line;
pub use permission::{ConnectPermission, ParsePermissionError};
pub use playback::{Playback, PlaybackError, TurnReader};
pub use played::{Difference, Ending, Part, Played};
pub use server::GuestServer;
pub use settings::{GuestSettings, GuestSummary, ProgramEnd};

/// Error returned by a guest that failed and can no longer be used. The text is for the report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A service behind a call. [`Driven`](crate::driven::Driven) computes its answers.
pub trait Guest {
    /// Passes the events up to `now` to the guest, and runs every task that can run. The guest may send at most
    /// `window` bytes per source.
    ///
    /// # Errors
    ///
    /// Returns a [`Fault`] if the guest fails as a whole. It must not be called again after that.
    fn turn(
        &mut self,
        now: Instant,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<TurnOutput, Fault>;

    /// Returns the counters that only the guest can maintain, since its start.
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    fn counts(&mut self) -> Result<Tally, Fault>;

    /// Returns true if the guest is a program, which works by itself and ends, instead of serving clients. A server does
    /// not replace a program that has failed.
    fn is_program(&self) -> bool {
        false
    }

    /// Returns the exit code of a program, after the turn that has answered [`Rest::Empty`](sinbin_core::Rest::Empty).
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    fn exit_code(&mut self) -> Result<u8, Fault> {
        Ok(0)
    }
}

/// A factory of guests, and of the job runners that compute their jobs.
pub trait GuestFactory {
    /// The type of the guests.
    type Guest: Guest;
    /// The state that a worker needs to compute jobs.
    type JobRunner: JobRunner;
    /// The error of starting a guest or a server.
    type Error: From<crate::Error> + std::fmt::Display;

    /// Starts a guest. Returns the guest, and its limits for input.
    ///
    /// # Errors
    ///
    /// Fails if the guest cannot be created, or if it rejects its arguments.
    fn start(&self, start: &ServiceSettings) -> Result<(Self::Guest, ServiceLimits), Self::Error>;

    /// Starts a guest as [`start`](Self::start) does, and publishes its tasks in `tables`, so that other processes can look
    /// at them. A guest whose tasks can't be published is started without.
    ///
    /// # Errors
    ///
    /// Fails as [`start`](Self::start) does.
    fn start_published(
        &self,
        start: &ServiceSettings,
        tables: &GuestTables,
    ) -> Result<(Self::Guest, ServiceLimits), Self::Error> {
        let _ = tables;
        self.start(start)
    }

    /// Returns the job runner that computes the guest's jobs.
    fn job_runner(&self) -> Self::JobRunner;
}

/// Computes jobs of a guest, on any thread. All clones are equivalent.
pub trait JobRunner: Clone + Send + 'static {
    /// Computes a slice of about `budget` units of a job, unless `cancelled` becomes true in the meantime.
    ///
    /// # Errors
    ///
    /// Returns a [`Fault`] if the computation fails. The job is then lost.
    fn compute(&self, job: &[u8], budget: u32, cancelled: &Arc<AtomicBool>) -> Result<Computed, Fault>;
}

/// Calls a guest. A guest in this process may panic, which is a fault like any other.
fn caught_call<R>(call: impl FnOnce() -> Result<R, Fault>) -> Result<R, Fault> {
    caught(call).unwrap_or_else(|said| Err(Fault(format!("it panicked: {said}"))))
}
