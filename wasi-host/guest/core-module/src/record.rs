//! The representation of the contract's types in memory.

use alloc::vec::Vec;

use sinbin_core::driven::{Command, ConnectError, ConnectId, Event, SourceHandle};
use sinbin_core::{Instant, JobId, Rest};

/// An event or a command: the kind and `len` in one word, and two handles.
pub(crate) type Record = [u64; 3];

/// The result of a call: see the crate's table.
#[repr(C)]
pub(crate) struct AnswerRecord {
    pub(crate) kind: u32,
    pub(crate) room: u32,
    pub(crate) deadline: u64,
    commands: [u32; 2],
    output: [u32; 2],
}

impl AnswerRecord {
    pub(crate) const NONE: Self = Self { kind: 0, room: 0, deadline: 0, commands: [0; 2], output: [0; 2] };

    /// Sets the addresses and lengths of the commands and the output.
    pub(crate) fn point(&mut self, commands: &[Record], output: &[u8]) {
        self.commands = place(commands);
        self.output = place(output);
    }
}

/// Returns the address and the length. Both fit, since the target has 32-bit addresses.
fn place<T>(items: &[T]) -> [u32; 2] {
    [items.as_ptr().expose_provenance(), items.len()].map(|number| u32::try_from(number).unwrap_or(0))
}

/// Returns the event of a record, or `None` if its kind is unknown.
pub(crate) fn event([head, first, second]: Record) -> Option<Event> {
    let [kind, len] = halves(head);
    let (source, job) = (SourceHandle(first), JobId::from_bits(first));
    Some(match kind {
        0 => Event::Listener(source),
        1 => Event::Accepted { listener: source, connection: SourceHandle(second), len },
        2 => Event::Received { source, len },
        3 => Event::Ended(source),
        4 => Event::Writable(source),
        5 => Event::Stuck(source),
        6 => Event::Hangup(source),
        7 => Event::Failed(source),
        8 => Event::Idle(source),
        9 => Event::Computed { job, len },
        10 => Event::Lost(job),
        11 => Event::Stop,
        12 => Event::Took(first),
        13 => Event::More,
        14 => Event::Connected { request: ConnectId(first), source: SourceHandle(second), len },
        15 => {
            let reason = *ConnectError::ALL.get(len as usize)?;
            Event::ConnectFailed { request: ConnectId(first), reason }
        }
        16 => Event::WallClock(first),
        17 => Event::Entropy { len },
        _ => return None,
    })
}

/// Returns the low half and the high half of a word. In memory the low half comes first.
#[expect(clippy::cast_possible_truncation, reason = "these are halves")]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// Returns the record of a command, or `None` if the contract does not have the command.
fn command(command: Command) -> Option<Record> {
    let (kind, len, name) = match command {
        Command::Watch { source, interest } => (0, u32::from(interest.bits()), source.0),
        Command::Send { source, len } => (1, len, source.0),
        Command::Unread { source, len } => (2, len, source.0),
        Command::Shutdown(source) => (3, 0, source.0),
        Command::Close(source) => (4, 0, source.0),
        Command::Submit { job, len } => (5, len, job.to_bits()),
        Command::Cancel(job) => (6, 0, job.to_bits()),
        Command::Connect { request, len } => (7, len, request.0),
        Command::Abandon(request) => (8, 0, request.0),
        Command::Log { level, len } => (9, len, level as u64),
        _ => return None,
    };
    Some([u64::from(len) << 32 | kind, name, 0])
}

pub(crate) fn commands(all: Vec<Command>) -> Vec<Record> {
    all.into_iter().filter_map(command).collect()
}

/// Returns the kind of a rest, and its deadline.
pub(crate) fn rest(rest: Rest) -> (u32, u64) {
    match rest {
        Rest::Ready => (0, 0),
        Rest::Until(Instant::NEVER) => (2, 0),
        Rest::Until(deadline) => (1, deadline.as_nanos()),
        Rest::Stalled => (3, 0),
        Rest::Empty => (4, 0),
    }
}
