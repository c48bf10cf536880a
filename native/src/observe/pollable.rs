//! The pollables that a WASI command waits for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use sinbin_core::Instant;

use crate::observe::event::{halves, whole};
use crate::observe::header::POLLABLE_WORDS;
use crate::observe::source::{decode_address, write_address};

/// The maximum number of pollables of one wait that other processes see. Their number is known in any case.
#[cfg_attr(not(unix), expect(dead_code, reason = "only a host of WASI commands uses it, which needs Unix"))]
pub(crate) const MAX_POLLABLES: usize = 4096;

/// The event that a pollable stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PollableKind {
    /// A connection that a listener can accept; the address is the listener's.
    Accept,
    /// The end of an attempt to connect; the address is the peer's.
    Connect,
    /// Bytes from a connection, or its end; the address is the peer's.
    Recv,
    /// Capacity of a connection for bytes; the address is the peer's.
    Send,
    /// A datagram; the address is that of the socket.
    RecvDatagram,
    /// Capacity for a datagram; the address is that of the socket.
    SendDatagram,
    /// Bytes from stdin, or its end.
    Stdin,
    /// Capacity of stdout.
    Stdout,
    /// The addresses of a name.
    Lookup,
    /// A moment, which is the deadline.
    Time,
}

const KINDS: [PollableKind; 10] = [
    PollableKind::Accept,
    PollableKind::Connect,
    PollableKind::Recv,
    PollableKind::Send,
    PollableKind::RecvDatagram,
    PollableKind::SendDatagram,
    PollableKind::Stdin,
    PollableKind::Stdout,
    PollableKind::Lookup,
    PollableKind::Time,
];

impl PollableKind {
    /// Returns the name of the kind, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Recv => "recv",
            Self::Send => "send",
            Self::RecvDatagram => "recv-datagram",
            Self::SendDatagram => "send-datagram",
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Lookup => "lookup",
            Self::Time => "time",
        }
    }
}

/// A thing that a WASI command waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pollable {
    /// The event.
    pub kind: PollableKind,
    /// The address of a socket or its peer, if it is known.
    pub address: Option<SocketAddr>,
    /// The loop's time since which the event has not happened, as far as the host has noted: the last wait that was
    /// listed began then, or an earlier one.
    pub since: Instant,
    /// The moment that the command waits for, or [`Instant::NEVER`].
    pub deadline: Instant,
}

/// The present wait of a WASI command, or the last one of a command that computes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poll {
    /// The loop's time at which the wait began; `None` if the command has not waited yet.
    pub since: Option<Instant>,
    /// The number of pollables of the wait.
    pub count: usize,
    /// The pollables of the wait that the host has listed last: at most 4096.
    pub pollables: Vec<Pollable>,
    /// True if the list is that of the present wait. A wait is listed at once if none was listed for 100 ms, and after at
    /// most that time otherwise, so the list of a busy command is a little older.
    pub is_present: bool,
}

/// Writes a pollable into its row.
#[cfg_attr(not(unix), expect(dead_code, reason = "only a host of WASI commands uses it, which needs Unix"))]
pub(crate) fn write(row: &[AtomicU32], pollable: &Pollable) {
    write_address(row, pollable.kind as u32, pollable.address);
    let [since, since2] = halves(pollable.since.as_nanos());
    let [deadline, deadline2] = halves(pollable.deadline.as_nanos());
    for (word, value) in row.iter().skip(5).zip([since, since2, deadline, deadline2]) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Decodes the words of a row.
pub(crate) fn decode(words: &[u32; POLLABLE_WORDS]) -> Option<Pollable> {
    let [kind, first, second, third, fourth, since, since2, deadline, deadline2] = *words;
    let (kind, address) = decode_address(&[kind, first, second, third, fourth]);
    Some(Pollable {
        kind: *KINDS.get(kind)?,
        address,
        since: Instant::from_nanos(whole(since, since2)),
        deadline: Instant::from_nanos(whole(deadline, deadline2)),
    })
}

#[cfg(test)]
mod tests {
    use std::array;

    use super::*;

    #[test]
    fn what_is_written_is_decoded() {
        for kind in KINDS {
            for address in [None, "127.0.0.1:7".parse().ok(), "[2001:db8::7]:65535".parse().ok()] {
                let (since, deadline) = (Instant::from_nanos(7 << 40), Instant::NEVER);
                let pollable = Pollable { kind, address, since, deadline };
                let row: [AtomicU32; POLLABLE_WORDS] = array::from_fn(|_| AtomicU32::new(77));
                write(&row, &pollable);
                assert_eq!(decode(&row.map(AtomicU32::into_inner)), Some(pollable));
            }
        }
        assert_eq!(decode(&[10; POLLABLE_WORDS]), None, "a kind that does not exist");
    }
}
