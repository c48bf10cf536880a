//! A look at a running loop from another process: its tasks, what each of them waits for, and its counters.
//!
//! A loop with [`Settings::observe`](crate::Settings::observe) keeps the tables of its kernel in memory that other
//! processes of the same user can map and only the loop can write. The loop starts no thread, makes no system call and
//! copies nothing for its readers: it does not know whether it has any. Linux only; elsewhere nothing is published.
//!
//! ```no_run
//! # let pid = 0;
//! for observed in sinbin::observe::loops_of(pid)? {
//!     let snapshot = observed.snapshot()?;
//!     for task in &snapshot.tasks {
//!         println!("{}", task.view);
//!     }
//! }
//! # Ok::<(), sinbin::observe::ObserveError>(())
//! ```

mod board;
mod command;
mod control;
mod error;
mod event;
mod find;
mod guest_memory;
mod guest_notes;
mod guest_tables;
mod header;
mod labels;
mod observed;
mod observer;
#[cfg(unix)]
mod poll_notes;
mod pollable;
mod polls;
mod reading;
mod region;
mod running;
mod snapshot;
mod source;
mod stuck;
mod table;
mod wait_name;

pub use board::Mark;
pub use command::Cancellation;
pub use error::ObserveError;
pub use event::{Event, EventKind};
pub use find::{all_loops, loops_of};
pub use guest_memory::{GuestMemory, GuestTables};
pub use header::Phase;
pub use observed::Observed;
#[cfg(unix)]
pub use poll_notes::PollNotes;
pub use pollable::{Poll, Pollable, PollableKind};
pub use snapshot::{Counter, GuestSource, LoopState, RunningStep, Snapshot, SpawnLabel, TaskInfo};
pub use source::{Source, SourceKind};
pub use table::Table;
pub use wait_name::WaitName;

pub(crate) use board::{Board, board};
pub(crate) use control::{CONTROL, Command, Control};
pub(crate) use header::{Drives, Part};
pub(crate) use observer::{Gauges, LimitsOfLoop, Observer, unwrapped};
