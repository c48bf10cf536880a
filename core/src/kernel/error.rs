//! Errors of capacity, and of I/O on a source. Protocol errors are in the modules of their protocols.

use core::fmt;

use crate::kernel::id::SourceId;

/// Error returned when a table is at its limit (promise 7). The table is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table is at its limit")
    }
}

impl core::error::Error for Full {}

/// The reason why a host did not perform an operation.
//
// Aligned like the numbers beside it in a `Step`: a processor that copies by words would copy the step byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(4))]
pub enum IoError {
    /// The operation would block: wait for readiness and try again.
    WouldBlock,
    /// The source is closed, or the id refers to no source.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// The host is stopping and has no more input for the task: the task should end.
    Stopping,
    /// The host has no capacity for another connection now (file descriptors, memory, or a limit of its own).
    NoRoom,
    /// No listener is at the address.
    ConnectionRefused,
    /// There is no route to the address, or the host there is down. (A native host reports the system's error instead.)
    Unreachable,
    /// The host has given up connecting after a time limit of its own.
    TimedOut,
    /// The address is in use.
    AddressInUse,
    /// The name has no address.
    Unresolved,
    /// The text is no endpoint of the kind that the operation needs.
    Invalid,
    /// The datagram is larger than the buffer: the rest of it is lost.
    TooLong,
    /// The host does not have the operation, or does not permit it to this task.
    Unsupported,
    /// Any other error, by the number that the host's system uses for it.
    Os(i32),
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("the operation would block"),
            Self::Closed => f.write_str("the source is closed"),
            Self::Reset => f.write_str("connection reset by the peer"),
            Self::Stopping => f.write_str("the host is stopping"),
            Self::NoRoom => f.write_str("the host has no capacity for another source"),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("the address is unreachable"),
            Self::TimedOut => f.write_str("the host gave up connecting after its time limit"),
            Self::AddressInUse => f.write_str("address already in use"),
            Self::Unresolved => f.write_str("the name does not resolve to an address"),
            Self::Invalid => f.write_str("neither an address nor a name with a port"),
            Self::TooLong => f.write_str("the datagram is larger than the buffer"),
            Self::Unsupported => f.write_str("operation not supported by the host"),
            #[cfg(feature = "std")]
            Self::Os(code) if *code != 0 => std::io::Error::from_raw_os_error(*code).fmt(f),
            Self::Os(code) => write!(f, "system error {code}"),
        }
    }
}

impl core::error::Error for IoError {}

/// Converts an error of the standard library to its meaning for a task. An operation that a signal interrupted should
/// be tried again, so it counts as one that would block.
#[cfg(feature = "std")]
impl From<std::io::Error> for IoError {
    #[cold]
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock | Kind::Interrupted => Self::WouldBlock,
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::TimedOut => {
                Self::Reset
            }
            Kind::NotConnected => Self::Closed,
            Kind::ConnectionRefused => Self::ConnectionRefused,
            Kind::AddrInUse => Self::AddressInUse,
            _ => Self::Os(error.raw_os_error().unwrap_or(0)),
        }
    }
}

/// Converts an error to the kind of the standard library that has its meaning.
#[cfg(feature = "std")]
impl From<IoError> for std::io::Error {
    #[cold]
    fn from(error: IoError) -> Self {
        use std::io::ErrorKind as Kind;
        let kind = match error {
            IoError::WouldBlock => Kind::WouldBlock,
            IoError::Closed => Kind::NotConnected,
            IoError::Reset => Kind::ConnectionReset,
            // Not `Interrupted`, after which callers try again.
            IoError::Stopping => Kind::ConnectionAborted,
            IoError::NoRoom => Kind::OutOfMemory,
            IoError::ConnectionRefused => Kind::ConnectionRefused,
            IoError::Unreachable => Kind::HostUnreachable,
            IoError::TimedOut => Kind::TimedOut,
            IoError::AddressInUse => Kind::AddrInUse,
            IoError::Unresolved => Kind::NotFound,
            IoError::Invalid => Kind::InvalidInput,
            IoError::TooLong => Kind::InvalidData,
            IoError::Unsupported => Kind::Unsupported,
            IoError::Os(0) => Kind::Other,
            IoError::Os(code) => return Self::from_raw_os_error(code),
        };
        Self::new(kind, error)
    }
}

/// An operation that can fail.
//
// Aligned for the same reason as `IoError`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(4))]
pub enum Op {
    /// Accepting a connection from a listener.
    Accept,
    /// Receiving from a connection.
    Recv,
    /// Sending to a connection.
    Send,
    /// Waiting for readiness.
    Wait,
    /// Starting to listen.
    Listen,
    /// Connecting.
    Connect,
    /// Resolving a name.
    Resolve,
    /// Shutting down the sending direction.
    Shutdown,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Recv => "recv",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Listen => "listen",
            Self::Connect => "connect",
            Self::Resolve => "resolve",
            Self::Shutdown => "shutdown",
        })
    }
}

/// The reason why a task failed: the operation, its source, and the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The operation.
    pub op: Op,
    /// The source of the operation.
    pub source: SourceId,
    /// The error.
    pub error: IoError,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on source {}: {}", self.op, self.source, self.error)
    }
}

impl core::error::Error for Failure {}
