//! The reasons why a loop can't be looked at.

use std::io;

/// Error returned when a process cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// Error returned when no process has the id.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// Error returned when the process belongs to another user, or has privileges that this one lacks.
    #[error("process {pid} may not be looked at: {error}; this takes its user, or root")]
    NotPermitted {
        /// The id of the process.
        pid: u32,
        /// The error of the system.
        error: io::Error,
    },
    /// Error returned when the process publishes no loop: it does not use sinbin, or publishing is off.
    #[error("process {0} publishes no loop: it is no service of sinbin, or runs with --no-observe")]
    NothingPublished(u32),
    /// Error returned when the process was built with a version of sinbin that publishes its tables in another form.
    #[error("process {pid} publishes its tables in version {found:#x}, and this program reads {expected:#x}")]
    OtherVersion {
        /// The id of the process.
        pid: u32,
        /// The version of the process.
        found: u32,
        /// The version that this program reads.
        expected: u32,
    },
    /// Error returned when the published memory is not one that a loop writes.
    #[error("process {pid} publishes tables that contradict each other: {what}")]
    Broken {
        /// The id of the process.
        pid: u32,
        /// The promise that does not hold.
        what: &'static str,
    },
    /// Error returned when the loop accepts no commands: that is off, or the loop drives a guest.
    #[error(
        "process {0} takes no commands: start it with --control, or set `Settings::control`; the tasks of a guest cannot \
         be cancelled"
    )]
    NoCommands(u32),
    /// Error returned when the process was stopped while its loop changed a table.
    #[error("process {0} was stopped in the middle of a change of its tables: continue it, and look again")]
    Busy(u32),
    /// Error returned when the published memory cannot be read.
    #[error("cannot read the tables of process {pid}: {error}")]
    Io {
        /// The id of the process.
        pid: u32,
        /// The error of the system.
        error: io::Error,
    },
    /// Error returned on a system where loops publish nothing.
    #[error("loops can be looked at on Linux only")]
    Unsupported,
}
