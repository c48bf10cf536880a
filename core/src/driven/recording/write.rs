//! The writer of recordings.

use alloc::vec::Vec;

use crc32fast::Hasher;

use crate::driven::recording::number::{put, put_name};
use crate::driven::recording::{END, FAILED, FRESH, HEAD, Header, MAGIC, MAX_FRAME, TURN, Turn, VERSION};
use crate::driven::{Command, Event, TurnOutput};
use crate::kernel::Rest;
use crate::kernel::instant::Instant;

/// A writer of a recording. It appends to a buffer, which the caller can empty at any time.
#[derive(Clone, Debug)]
pub struct Writer {
    before: Instant,
    turns: u64,
    events: u64,
    /// The checksum of the frames so far.
    sum: u32,
    /// The buffer in which answers are encoded, kept for its capacity.
    answer: Vec<u8>,
}

impl Writer {
    /// Begins a recording.
    #[must_use]
    pub fn new(header: &Header, bytes: &mut Vec<u8>) -> Self {
        bytes.extend_from_slice(&MAGIC[..]);
        bytes.push(VERSION);
        let mut sum = 0;
        frame(&mut sum, bytes, |bytes| put_header(header, bytes));
        Self { before: Instant::ZERO, turns: 0, events: 0, sum, answer: Vec::new() }
    }

    /// Appends a turn and the answer of the loop, or `None` if the loop failed. O(events, commands and bytes).
    pub fn turn(&mut self, turn: &Turn<'_>, answer: Option<&TurnOutput>, bytes: &mut Vec<u8>) {
        self.turns += 1;
        self.events += turn.events.len() as u64;
        let passed = turn.now.as_nanos().saturating_sub(self.before.as_nanos());
        self.before = self.before.max(turn.now);
        let sum = answer.map(|answer| sum(answer, &mut self.answer));
        frame(&mut self.sum, bytes, |bytes| {
            bytes.push(if sum.is_some() { TURN } else { FAILED });
            put(passed, bytes);
            put(turn.window.into(), bytes);
            put(turn.events.len() as u64, bytes);
            for event in turn.events {
                put_event(*event, bytes);
            }
            put_bytes(turn.input, bytes);
            bytes.extend(sum.iter().flat_map(|sum| sum.to_le_bytes()));
        });
    }

    /// Records that the following turns belong to a fresh loop.
    pub fn fresh(&mut self, bytes: &mut Vec<u8>) {
        frame(&mut self.sum, bytes, |bytes| bytes.push(FRESH));
    }

    /// Ends the recording. `is_over` is true if the loop has ended too.
    pub fn end(&mut self, is_over: bool, bytes: &mut Vec<u8>) {
        frame(&mut self.sum, bytes, |bytes| {
            bytes.push(END);
            put(self.turns, bytes);
            put(self.events, bytes);
            put(is_over.into(), bytes);
        });
    }

    /// Returns the number of turns so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }
}

/// Returns the checksum of an answer, as recordings contain it.
#[must_use]
pub fn checksum(answer: &TurnOutput) -> u32 {
    sum(answer, &mut Vec::new())
}

/// Returns the checksum of an answer, which is encoded in `bytes`.
pub(super) fn sum(answer: &TurnOutput, bytes: &mut Vec<u8>) -> u32 {
    bytes.clear();
    match answer.rest {
        Rest::Ready => bytes.push(0),
        Rest::Until(deadline) => {
            bytes.push(1);
            put(deadline.as_nanos(), bytes);
        }
        Rest::Stalled => bytes.push(2),
        Rest::Empty => bytes.push(3),
    }
    put(answer.room.into(), bytes);
    put(answer.commands.len() as u64, bytes);
    for command in &answer.commands {
        put_command(*command, bytes);
    }
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.update(&answer.output);
    hasher.finalize()
}

/// Appends a frame. `sum` is the checksum of the frames before, to which this frame is added.
#[inline]
pub(super) fn frame(sum: &mut u32, bytes: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; HEAD]);
    put(bytes);
    let (head, body) = bytes[start..].split_at_mut(HEAD);
    debug_assert!(body.len() <= MAX_FRAME, "a turn of {} bytes", body.len());
    let [a, b, c, ..] = body.len().to_le_bytes();
    let length = [a, b, c, !(a ^ b ^ c)];
    *sum = frame_sum(*sum, length, body);
    head[..4].copy_from_slice(&length);
    head[4..].copy_from_slice(&sum.to_le_bytes());
}

/// Returns the checksum of the frames before and one more frame.
#[inline]
pub(super) fn frame_sum(before: u32, length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(before);
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

fn put_bytes(what: &[u8], bytes: &mut Vec<u8>) {
    put(what.len() as u64, bytes);
    bytes.extend_from_slice(what);
}

fn put_header(header: &Header, bytes: &mut Vec<u8>) {
    let Header { service, start } = header;
    put_bytes(service.as_bytes(), bytes);
    put(start.arguments.len() as u64, bytes);
    for argument in &start.arguments {
        put_bytes(argument.as_bytes(), bytes);
    }
    put(start.max_connections.into(), bytes);
    put(start.max_buffered.into(), bytes);
    put(start.computes.into(), bytes);
    put(start.slice.into(), bytes);
    if start.max_jobs > 0 {
        put(start.max_jobs.into(), bytes);
    }
}

#[inline]
fn put_event(event: Event, bytes: &mut Vec<u8>) {
    // The kind and the name, and then the remaining fields.
    let (kind, name) = match event {
        Event::Listener(source) => (0, source.0),
        Event::Accepted { listener, .. } => (1, listener.0),
        Event::Received { source, .. } => (2, source.0),
        Event::Ended(source) => (3, source.0),
        Event::Writable(source) => (4, source.0),
        Event::Stuck(source) => (5, source.0),
        Event::Hangup(source) => (6, source.0),
        Event::Failed(source) => (7, source.0),
        Event::Idle(source) => (8, source.0),
        Event::Computed { job, .. } => (9, job.to_bits()),
        Event::Lost(job) => (10, job.to_bits()),
        Event::Stop => return bytes.push(11),
        Event::Took(nanos) => {
            bytes.push(12);
            return put(nanos, bytes);
        }
        Event::More => return bytes.push(13),
        Event::Connected { request, .. } => (14, request.0),
        Event::ConnectFailed { request, .. } => (15, request.0),
        Event::WallClock(nanos) => {
            bytes.push(16);
            return put(nanos, bytes);
        }
        Event::Entropy { len } => {
            bytes.push(17);
            return put(len.into(), bytes);
        }
    };
    bytes.push(kind);
    put_name(name, bytes);
    match event {
        Event::Accepted { connection, len, .. } => {
            put_name(connection.0, bytes);
            put(len.into(), bytes);
        }
        Event::Received { len, .. } | Event::Computed { len, .. } => put(len.into(), bytes),
        Event::Connected { source, len, .. } => {
            put_name(source.0, bytes);
            put(len.into(), bytes);
        }
        Event::ConnectFailed { reason, .. } => bytes.push(reason as u8),
        _ => {}
    }
}

#[inline]
fn put_command(command: Command, bytes: &mut Vec<u8>) {
    let (kind, name) = match command {
        Command::Watch { source, .. } => (0, source.0),
        Command::Send { source, .. } => (1, source.0),
        Command::Unread { source, .. } => (2, source.0),
        Command::Shutdown(source) => (3, source.0),
        Command::Close(source) => (4, source.0),
        Command::Submit { job, .. } => (5, job.to_bits()),
        Command::Cancel(job) => (6, job.to_bits()),
        Command::Connect { request, .. } => (7, request.0),
        Command::Abandon(request) => (8, request.0),
        Command::Log { level, len } => {
            bytes.extend_from_slice(&[9, level as u8]);
            return put(len.into(), bytes);
        }
        Command::Print { len } => {
            bytes.push(10);
            return put(len.into(), bytes);
        }
    };
    bytes.push(kind);
    put_name(name, bytes);
    match command {
        Command::Watch { interest, .. } => bytes.push(interest.bits()),
        Command::Send { len, .. }
        | Command::Unread { len, .. }
        | Command::Submit { len, .. }
        | Command::Connect { len, .. } => put(len.into(), bytes),
        Command::Shutdown(_)
        | Command::Close(_)
        | Command::Cancel(_)
        | Command::Abandon(_)
        | Command::Log { .. }
        | Command::Print { .. } => {}
    }
}
