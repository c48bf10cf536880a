//! The words between a driver and a driven loop: events, commands and answers.

use alloc::vec::Vec;

use crate::kernel::Rest;
use crate::kernel::id::JobId;
use crate::kernel::interest::Interest;

/// The driver's name of a source. The low half is the place in a table of the driver's, dense from 0 (and less than four
/// times the number of tasks there can be, plus 1024); the high half is a generation, so that no name means two things.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SourceHandle(pub u64);

/// Something that the driver tells. Where there is a `len`, the next so many bytes of the input belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A listener to take connections from.
    Listener(SourceHandle),
    /// A connection came in.
    Accepted {
        /// By this listener.
        listener: SourceHandle,
        /// Its name.
        connection: SourceHandle,
        /// The peer's address: 18 bytes, 16 of IPv6 (IPv4 is mapped) and 2 of the port, big-endian; or none.
        len: u32,
    },
    /// Bytes were received.
    Received {
        /// By this connection.
        source: SourceHandle,
        /// How many.
        len: u32,
    },
    /// The peer has sent its last byte.
    Ended(SourceHandle),
    /// Everything that was sent is out, and there is room for more: owed after [`Stuck`](Self::Stuck), and whenever that is so
    /// of a source whose interest has [`SEND`](Interest::SEND).
    Writable(SourceHandle),
    /// Not all that was sent is out. The driver keeps the rest.
    Stuck(SourceHandle),
    /// Both directions have ended: the peer is gone. What came before may still have to be received: of a source whose
    /// interest has [`RECV`](Interest::RECV), [`Ended`](Self::Ended) or [`Failed`](Self::Failed) is owed as ever.
    Hangup(SourceHandle),
    /// The connection broke.
    Failed(SourceHandle),
    /// The service is to stop, and there is nothing to read here.
    Idle(SourceHandle),
    /// A job is done.
    Computed {
        /// Which.
        job: JobId,
        /// The bytes of its result: [`WireJob::decode_output`](crate::WireJob::decode_output).
        len: u32,
    },
    /// A job will not be done: its computation failed.
    Lost(JobId),
    /// The service is to stop: no connection comes any more.
    Stop,
    /// The turn before took so many nanoseconds: owed where that is a millisecond or more. A service has no clock, and
    /// cannot know when in a turn a span was asked for; it counts from the end of that turn then.
    Took(u64),
    /// Some of what had come in before this turn is told in later ones. No deadline ends in this turn, since what came
    /// before it may not have been told yet.
    More,
}

/// Something that the driver is to do. With [`Send`](Self::Send) and [`Submit`](Self::Submit), the next `len` bytes of the output
/// belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Watch the source for this from here on; for nothing at all, if that is it.
    Watch {
        /// The source.
        source: SourceHandle,
        /// The readiness to watch for.
        interest: Interest,
    },
    /// Send bytes.
    Send {
        /// By this connection.
        source: SourceHandle,
        /// How many.
        len: u32,
    },
    /// The last bytes that were received are not wanted yet. The driver has them still: it keeps them, and tells them
    /// again before others, once somebody waits for them.
    Unread {
        /// By this connection.
        source: SourceHandle,
        /// How many.
        len: u32,
    },
    /// End the sending direction, when all is out.
    Shutdown(SourceHandle),
    /// Close the source, when all is out. It names nothing any more.
    Close(SourceHandle),
    /// Compute a job.
    Submit {
        /// Its name.
        job: JobId,
        /// Its bytes: [`WireJob::encode`](crate::WireJob::encode).
        len: u32,
    },
    /// Forget the job: its result is not wanted any more.
    Cancel(JobId),
}

/// The outcome of a turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TurnOutput {
    /// When to call again at the latest.
    pub rest: Rest,
    /// How many connections there is room for.
    pub room: u32,
    /// The commands, in the order in which they are to be done.
    pub commands: Vec<Command>,
    /// The bytes of the commands.
    pub output: Vec<u8>,
}

/// Counts of what happened in a loop, and its driver can't know.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Jobs that were begun here, and not given to the driver.
    pub jobs: u64,
    /// Of these, jobs that nobody wanted any more before they were done.
    pub cancelled: u64,
    /// Events that named nothing, or whose bytes were missing.
    pub ignored: u64,
}
