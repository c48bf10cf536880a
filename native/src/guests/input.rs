//! The input of the guest's next turn: events, and the bytes that belong to them.

use std::collections::HashSet;
use std::ops::Range;

use sinbin_core::driven::{ConnectId, Event, SourceHandle};
use sinbin_core::{JobId, SourceId};

/// The maximum number of bytes of input per turn. The limit keeps each call short.
pub const LIMIT: usize = 256 * 1024;

/// Returns the guest's handle of a source.
pub(crate) fn handle(source: SourceId) -> SourceHandle {
    SourceHandle(source.to_bits())
}

/// The input of the next turn.
pub(crate) struct Input {
    pub(crate) events: Vec<Event>,
    bytes: Box<[u8]>,
    used: usize,
    /// The sources that have bytes in the input.
    pieces: Vec<SourceId>,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { events: Vec::new(), bytes: vec![0; LIMIT].into(), used: 0, pieces: Vec::new() }
    }

    /// Returns true if there are no events.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the bytes collected so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Returns the remaining capacity in bytes.
    pub(crate) fn space(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Returns true if there is capacity for `count` more bytes.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.space() >= count
    }

    /// Returns a buffer of at most `limit` bytes to receive into.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        let end = self.bytes.len().min(self.used + limit);
        &mut self.bytes[self.used..end]
    }

    /// Adds an event for `count` bytes that were received into the buffer. Returns their range in the input.
    pub(crate) fn received(&mut self, id: SourceId, count: usize) -> Range<usize> {
        self.events.push(Event::Received { source: handle(id), len: len(count) });
        self.pieces.push(id);
        let start = self.used;
        self.used += count;
        start..self.used
    }

    /// Adds an event for an accepted connection.
    pub(crate) fn accepted(&mut self, listener: SourceId, connection: SourceId, peer: &[u8]) {
        let (listener, connection) = (handle(listener), handle(connection));
        self.events.push(Event::Accepted { listener, connection, len: len(peer.len()) });
        self.append(peer);
    }

    /// Adds an event for a requested connection. There must be capacity for the address of the peer.
    pub(crate) fn connected(&mut self, request: ConnectId, connection: SourceId, peer: &[u8]) {
        self.events.push(Event::Connected { request, source: handle(connection), len: len(peer.len()) });
        self.append(peer);
    }

    /// Adds an event with a seed for random numbers. There must be capacity for it.
    pub(crate) fn entropy(&mut self, seed: &[u8]) {
        self.events.push(Event::Entropy { len: len(seed.len()) });
        self.append(seed);
    }

    /// Adds an event for a finished job. There must be capacity for its result.
    pub(crate) fn computed(&mut self, job: JobId, result: &[u8]) {
        self.events.push(Event::Computed { job, len: len(result.len()) });
        self.append(result);
    }

    /// Removes events about a source that the guest has closed since they were added.
    pub(crate) fn forget(&mut self, id: SourceId) {
        let gone = handle(id);
        self.events.retain(|event| !matches!(event, Event::Stuck(id) | Event::Failed(id) if *id == gone));
    }

    /// Asserts, in debug builds, the order of the events of a source that the contract promises: `stuck` is the first, and
    /// `received` and `ended` are not in one turn.
    pub(crate) fn check_order(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let (mut seen, mut received) = (HashSet::new(), HashSet::new());
        for event in &self.events {
            let Some(source) = about(event) else { continue };
            let is_first = seen.insert(source);
            assert!(
                is_first || !matches!(event, Event::Stuck(_)),
                "{event:?} is not the first: {:?}",
                self.events
            );
            if matches!(event, Event::Received { .. } | Event::Ended(_)) {
                assert!(received.insert(source), "{event:?} is not the only one: {:?}", self.events);
            }
        }
    }

    /// Removes the bytes after a turn.
    pub(crate) fn clear_bytes(&mut self) {
        self.used = 0;
    }

    /// Removes and returns one of the sources that had bytes in the input, until none is left.
    pub(crate) fn next_told(&mut self) -> Option<SourceId> {
        self.pieces.pop()
    }

    /// Removes everything, because there is no guest to receive it.
    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.pieces.clear();
        self.clear_bytes();
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }
}

/// Returns the connection that an event is about, if it is about a connection that the guest knows.
fn about(event: &Event) -> Option<SourceHandle> {
    match *event {
        Event::Received { source, .. }
        | Event::Ended(source)
        | Event::Writable(source)
        | Event::Stuck(source)
        | Event::Hangup(source)
        | Event::Failed(source)
        | Event::Idle(source) => Some(source),
        _ => None,
    }
}

/// Converts a length, which is within the limit.
fn len(count: usize) -> u32 {
    u32::try_from(count).expect("the length is within the limit")
}
