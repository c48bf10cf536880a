//! The interface between a driver and a driven loop: events, commands and answers.

use alloc::vec::Vec;

use crate::kernel::Rest;
use crate::kernel::error::IoError;
use crate::kernel::id::JobId;
use crate::kernel::interest::Interest;

/// The driver's name for a source. The low half is an index into a table of the driver, dense from 0 (and less than
/// four times the maximum number of tasks, plus 1024). The high half is a generation, so that a handle never names two
/// sources.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SourceHandle(pub u64);

/// A request for a connection, by the number that the loop has chosen for it. The driver gives the number no meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectId(pub u64);

/// The text before the address in a [`Command::Connect`] that requests a listener, such as `listen:192.0.2.1:80`.
pub const LISTEN: &str = "listen:";

/// The reason why a requested connection does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The driver does not permit it.
    NotPermitted,
    /// The text names no endpoint.
    Invalid,
    /// The name has no address.
    Unresolved,
    /// No listener is at the address.
    Refused,
    /// There is no route to the address, or the host there is down.
    Unreachable,
    /// The attempt took longer than the driver's limit.
    TimedOut,
    /// The peer has reset the connection.
    Reset,
    /// The driver has reached a limit on connections or requests.
    NoRoom,
    /// Another error of the driver's system.
    Other,
}

impl ConnectError {
    /// All reasons, in the order of their numbers in the contract and in recordings.
    pub const ALL: [Self; 9] = [
        Self::NotPermitted,
        Self::Invalid,
        Self::Unresolved,
        Self::Refused,
        Self::Unreachable,
        Self::TimedOut,
        Self::Reset,
        Self::NoRoom,
        Self::Other,
    ];
}

/// The error of a task whose request failed for this reason.
impl From<ConnectError> for IoError {
    fn from(reason: ConnectError) -> Self {
        match reason {
            ConnectError::NotPermitted => Self::Unsupported,
            ConnectError::Invalid => Self::Invalid,
            ConnectError::Unresolved => Self::Unresolved,
            ConnectError::Refused => Self::ConnectionRefused,
            ConnectError::Unreachable => Self::Unreachable,
            ConnectError::TimedOut => Self::TimedOut,
            ConnectError::Reset => Self::Reset,
            ConnectError::NoRoom => Self::NoRoom,
            ConnectError::Other => Self::Os(0),
        }
    }
}

/// An event that the driver reports. If the event has a `len`, the next `len` bytes of the input belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A listener to accept connections from.
    Listener(SourceHandle),
    /// A connection arrived.
    Accepted {
        /// The listener of the connection.
        listener: SourceHandle,
        /// The handle of the connection.
        connection: SourceHandle,
        /// The length of the peer's address: 18 bytes, 16 of IPv6 (IPv4 is mapped) and 2 of the port, big-endian; or 0
        /// if the address is unknown.
        len: u32,
    },
    /// Bytes were received.
    Received {
        /// The connection that received the bytes.
        source: SourceHandle,
        /// The number of bytes.
        len: u32,
    },
    /// The peer has sent its last byte. Never in a turn with [`Received`](Self::Received) of the same source, so bytes that
    /// are returned as unread come before it.
    Ended(SourceHandle),
    /// All bytes that were sent have left the driver, and it can accept more. Required after [`Stuck`](Self::Stuck),
    /// and whenever this condition holds for a source whose interest contains [`SEND`](Interest::SEND).
    Writable(SourceHandle),
    /// Some bytes that were sent have not left the driver, which keeps them. The first event of the source in its turn.
    Stuck(SourceHandle),
    /// Both directions have ended: the peer is gone. Earlier bytes may still have to be received: for a source whose
    /// interest contains [`RECV`](Interest::RECV), [`Ended`](Self::Ended) or [`Failed`](Self::Failed) is required as
    /// usual.
    Hangup(SourceHandle),
    /// The connection failed.
    Failed(SourceHandle),
    /// The service is to stop, and no bytes are available from this source.
    Idle(SourceHandle),
    /// A job is done.
    Computed {
        /// The id of the job.
        job: JobId,
        /// The length of its result, which [`WireJob::decode_output`](crate::job::WireJob::decode_output) decodes.
        len: u32,
    },
    /// The computation of a job failed; it has no result.
    Lost(JobId),
    /// The service is to stop: no more connections arrive.
    Stop,
    /// The previous turn took this number of nanoseconds. Required if that is a millisecond or more. A service has no
    /// clock, so it can't know at which point of a turn a span was requested; such a span then counts from the end of
    /// that turn.
    Took(u64),
    /// Some events that occurred before this turn are reported in later ones. No deadline takes effect in this turn,
    /// because earlier events may not have been reported yet.
    More,
    /// A requested connection is established.
    Connected {
        /// The request.
        request: ConnectId,
        /// The handle of the connection.
        source: SourceHandle,
        /// The length of the peer's address, as in [`Accepted`](Self::Accepted).
        len: u32,
    },
    /// A requested connection could not be established.
    ConnectFailed {
        /// The request.
        request: ConnectId,
        /// The reason.
        reason: ConnectError,
    },
    /// The wall-clock time at the beginning of this turn, in nanoseconds since 1970-01-01 00:00:00 UTC. The loop itself
    /// ignores it; it is for the code around the loop.
    WallClock(u64),
    /// A seed for random numbers. The loop itself ignores it, as [`WallClock`](Self::WallClock).
    Entropy {
        /// The number of bytes.
        len: u32,
    },
}

/// The importance of a line in the driver's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LogLevel {
    /// Something has failed.
    Error,
    /// Something is wrong, or will be.
    Warn,
    /// Something that a user of the service may want to know.
    Info,
    /// Something that an author of the service may want to know.
    Debug,
    /// Every step.
    Trace,
}

/// A command to the driver. For [`Send`](Self::Send), [`Submit`](Self::Submit), [`Connect`](Self::Connect),
/// [`Log`](Self::Log) and [`Print`](Self::Print), the next `len` bytes of the output belong to the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Watches the source for this interest from here on. An empty interest means that the source is not watched.
    Watch {
        /// The source.
        source: SourceHandle,
        /// The readiness to watch for.
        interest: Interest,
    },
    /// Sends bytes.
    Send {
        /// The connection that sends the bytes.
        source: SourceHandle,
        /// The number of bytes.
        len: u32,
    },
    /// Returns the last bytes that were received, which are not wanted yet. The driver still has these bytes. It keeps
    /// them, and reports them again before others when a task waits for them.
    Unread {
        /// The connection that received the bytes.
        source: SourceHandle,
        /// The number of bytes.
        len: u32,
    },
    /// Ends the sending direction, after all bytes have been sent.
    Shutdown(SourceHandle),
    /// Closes the source, after all bytes have been sent. The handle becomes invalid.
    Close(SourceHandle),
    /// Computes a job.
    Submit {
        /// The id of the job.
        job: JobId,
        /// The length of the job as [`WireJob::encode`](crate::job::WireJob::encode) encodes it.
        len: u32,
    },
    /// Cancels the job, whose result is no longer wanted.
    Cancel(JobId),
    /// Connects to an endpoint. The driver answers with [`Connected`](Event::Connected) or
    /// [`ConnectFailed`](Event::ConnectFailed).
    Connect {
        /// The request.
        request: ConnectId,
        /// The length of the endpoint's text: a name or an IP address, a colon and a port.
        len: u32,
    },
    /// Stops connecting: the connection is no longer wanted, and the driver does not answer the request.
    Abandon(ConnectId),
    /// Writes a line to the driver's log.
    Log {
        /// The importance of the line.
        level: LogLevel,
        /// The length of the line, which is UTF-8.
        len: u32,
    },
    /// Writes bytes to the standard output of a program. The loop itself never does: the code around the loop adds this
    /// command.
    Print {
        /// The number of bytes.
        len: u32,
    },
}

/// The outcome of a turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TurnOutput {
    /// The latest time of the next call.
    pub rest: Rest,
    /// The number of connections that can be accepted.
    pub room: u32,
    /// The commands, in the order of their execution.
    pub commands: Vec<Command>,
    /// The bytes that belong to the commands.
    pub output: Vec<u8>,
}

impl TurnOutput {
    /// Returns the bytes of the commands that [print](Command::Print).
    #[must_use]
    pub fn printed(&self) -> Vec<u8> {
        let (mut output, mut printed) = (&self.output[..], Vec::new());
        for command in &self.commands {
            match command {
                Command::Print { len } => {
                    printed.extend_from_slice(output.split_off(..*len as usize).unwrap_or_default());
                }
                Command::Send { len, .. }
                | Command::Submit { len, .. }
                | Command::Connect { len, .. }
                | Command::Log { len, .. } => drop(output.split_off(..*len as usize)),
                _ => {}
            }
        }
        printed
    }
}

/// Counts of events in a loop that its driver can't know.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// The number of jobs that the loop computed itself.
    pub jobs: u64,
    /// The number of these jobs that were cancelled before they were done.
    pub cancelled: u64,
    /// The number of events that were ignored, because they named nothing, or because their bytes were missing.
    pub ignored: u64,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Command, ConnectId, LogLevel, SourceHandle, TurnOutput};
    use crate::kernel::Rest;
    use crate::kernel::id::JobId;

    #[test]
    fn what_a_program_prints_is_found_between_the_bytes_of_other_commands() {
        let (source, level) = (SourceHandle(1), LogLevel::Info);
        let commands = vec![
            Command::Print { len: 2 },
            Command::Send { source, len: 1 },
            Command::Close(source),
            Command::Submit { job: JobId::from_bits(1), len: 1 },
            Command::Connect { request: ConnectId(1), len: 1 },
            Command::Log { level, len: 1 },
            Command::Print { len: 3 },
            Command::Print { len: 9 },
        ];
        let output = TurnOutput { rest: Rest::Ready, room: 0, commands, output: b"abSJCLcde!".to_vec() };
        assert_eq!(output.printed(), b"abcde");
    }
}
