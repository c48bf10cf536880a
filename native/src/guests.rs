//! The I/O half of a [driven](crate::driven) loop: sockets, workers and the clock, for a guest that has none of them.
//!
//! A *guest* is a service with its tasks behind one call, [`Guest::turn`]. [`GuestServer`] collects what happened, calls it,
//! and does what it answers. It does not matter to it where the guest lives: `sinbin-wasi` has it in a sandbox, and
//! [`InProcess`] in this process. What the guest is told in its turns is all that it ever learns, so that is what can be
//! recorded, and told again.
//!
//! ```
//! use sinbin::guests::{GuestServer, GuestSettings, InProcess};
//! use sinbin::echo::Echo;
//!
//! let mut server = GuestServer::new(InProcess::new(|_| Ok(Echo::default())), &GuestSettings::default())?;
//! println!("listening handle {}", server.listen("127.0.0.1:0".parse().unwrap())?);
//! # server.stopper().stop();
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod in_process;
mod input;
mod jobs;
mod playback;
mod played;
mod recorder;
mod restarts;
mod server;
mod settings;
mod source_table;
mod story;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sinbin_core::Instant;
use sinbin_core::driven::{Computed, Event, ServiceLimits, ServiceSettings, Tally, TurnOutput};

use crate::caught::caught;

pub use in_process::{InProcess, StartError};
pub use input::LIMIT;
pub use playback::{Playback, PlaybackError};
pub use played::{Difference, Ending, Part, Played};
pub use server::GuestServer;
pub use settings::{GuestSettings, GuestSummary};

/// A guest that failed, and is of no use any more: what went wrong, for the report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A service that is called: see [`Driven`](crate::driven::Driven), which is what answers.
pub trait Guest {
    /// Tells what happened until `now`, and runs every task that can run for it. No source gets more than `window` bytes
    /// to send.
    ///
    /// # Errors
    ///
    /// When it fails as a whole. It is not called again then.
    fn turn(
        &mut self,
        now: Instant,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<TurnOutput, Fault>;

    /// What only it can count, since it was started.
    ///
    /// # Errors
    ///
    /// As with [`turn`](Self::turn).
    fn counts(&mut self) -> Result<Tally, Fault>;
}

/// What guests are made of, and their jobs' workers.
pub trait GuestFactory {
    /// What is made.
    type Guest: Guest;
    /// What a worker needs.
    type JobRunner: JobRunner;
    /// Why there is no guest, or no server.
    type Error: From<crate::Error> + std::fmt::Display;

    /// A guest that is started, and what it takes.
    ///
    /// # Errors
    ///
    /// When it can't be made; when it refuses its arguments.
    fn start(&self, start: &ServiceSettings) -> Result<(Self::Guest, ServiceLimits), Self::Error>;

    /// Where its jobs are computed.
    fn job_runner(&self) -> Self::JobRunner;
}

/// Computes jobs of a guest, on any thread. A clone is the same.
pub trait JobRunner: Clone + Send + 'static {
    /// Computes a slice of about `budget` units of a job, unless that is `cancelled` meanwhile.
    ///
    /// # Errors
    ///
    /// When what computes fails: the job is lost then.
    fn compute(&self, job: &[u8], budget: u32, cancelled: &Arc<AtomicBool>) -> Result<Computed, Fault>;
}

/// Calls a guest, which may be in this process and panic. A guest that panicked is of no use any more.
fn caught_call<R>(call: impl FnOnce() -> Result<R, Fault>) -> Result<R, Fault> {
    caught(call).unwrap_or_else(|said| Err(Fault(format!("it panicked: {said}"))))
}
