//! What the guest is to be told in its next turn: events, and the bytes that belong to them.

use std::ops::Range;

use sinbin_core::driven::{Event, SourceHandle};
use sinbin_core::{JobId, SourceId};

/// Bytes that one turn brings, at the most: so many that no call takes long.
pub const LIMIT: usize = 256 * 1024;

/// The driver's name of a source, as the guest has it.
pub(crate) fn handle(source: SourceId) -> SourceHandle {
    SourceHandle(source.to_bits())
}

/// The next turn.
pub(crate) struct Input {
    pub(crate) events: Vec<Event>,
    bytes: Box<[u8]>,
    used: usize,
    /// Who has bytes in it.
    pieces: Vec<SourceId>,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { events: Vec::new(), bytes: vec![0; LIMIT].into(), used: 0, pieces: Vec::new() }
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// How many bytes more have room.
    pub(crate) fn space(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Whether so many bytes more have room.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.space() >= count
    }

    /// Room to receive into.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        let end = self.bytes.len().min(self.used + limit);
        &mut self.bytes[self.used..end]
    }

    /// So many bytes were received there. Returns where they lie.
    pub(crate) fn received(&mut self, id: SourceId, count: usize) -> Range<usize> {
        self.events.push(Event::Received { source: handle(id), len: len(count) });
        self.pieces.push(id);
        let start = self.used;
        self.used += count;
        start..self.used
    }

    /// A connection came in.
    pub(crate) fn accepted(&mut self, listener: SourceId, connection: SourceId, peer: &[u8]) {
        let (listener, connection) = (handle(listener), handle(connection));
        self.events.push(Event::Accepted { listener, connection, len: len(peer.len()) });
        self.append(peer);
    }

    /// A job is done. Its result must have room.
    pub(crate) fn computed(&mut self, job: JobId, result: &[u8]) {
        self.events.push(Event::Computed { job, len: len(result.len()) });
        self.append(result);
    }

    /// The guest has closed it since it was found stuck or broken: there is nothing to tell any more.
    pub(crate) fn forget(&mut self, id: SourceId) {
        let gone = handle(id);
        self.events.retain(|event| !matches!(event, Event::Stuck(id) | Event::Failed(id) if *id == gone));
    }

    /// The turn is over, and its bytes are told.
    pub(crate) fn clear_bytes(&mut self) {
        self.used = 0;
    }

    /// One after another, who had some.
    pub(crate) fn next_told(&mut self) -> Option<SourceId> {
        self.pieces.pop()
    }

    /// There is nobody to tell.
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

/// A length within the limit.
fn len(count: usize) -> u32 {
    u32::try_from(count).expect("no more than the limit")
}
