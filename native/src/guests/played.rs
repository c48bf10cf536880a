//! The options of a playback, and its outcome.

use std::time::Duration;

use sinbin_core::Instant;
use sinbin_core::driven::Event;
use sinbin_core::driven::recording::Turn;

/// The turns of a recording whose story is written.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The first turn, counted from 1. Earlier turns are played too, because the answers depend on them.
    pub from: u64,
    /// The number of turns. Later turns are not played.
    pub turns: u64,
}

impl Default for Part {
    /// Returns the part that contains all turns.
    fn default() -> Self {
        Self { from: 1, turns: u64::MAX }
    }
}

impl Part {
    /// Returns true if the part contains the turn.
    #[must_use]
    pub fn has(self, turn: u64) -> bool {
        turn >= self.from && turn - self.from < self.turns
    }

    pub(crate) fn is_behind(self, turn: u64) -> bool {
        turn >= self.from && !self.has(turn)
    }
}

/// The end of a recording, as far as it was played back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The server ended.
    Whole,
    /// The recording reached its size limit before the server ended.
    Limit,
    /// The recording is incomplete and ends after this many bytes: its writer was killed, or is still running.
    Short(u64),
    /// The end of the requested part.
    Wished,
}

/// The first turn whose answer differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The number of the turn, counted from 1.
    pub turn: u64,
    /// The input of the guest and its current answer, line by line and shortened.
    pub story: String,
    /// An explanation, if one of the two answers is a failure.
    pub why: Option<String>,
}

/// The outcome of a playback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Played {
    /// The number of turns played.
    pub turns: u64,
    /// The number of events in these turns.
    pub events: u64,
    /// The number of those events that are received bytes, which is about the number of requests.
    pub pieces: u64,
    /// The time from the first turn to the last, as recorded.
    pub recorded: Duration,
    /// The duration of the playback.
    pub took: Duration,
    /// The reason why the playback ended.
    pub ending: Ending,
    /// The first difference, at which the playback ends.
    pub difference: Option<Difference>,
}

impl Played {
    /// Creates an outcome without turns.
    pub(crate) fn new() -> Self {
        let ending = Ending::Wished;
        let (recorded, took) = (Duration::ZERO, Duration::ZERO);
        Self { turns: 0, events: 0, pieces: 0, recorded, took, ending, difference: None }
    }

    /// Counts a turn. `first` is the time of the first turn.
    pub(crate) fn count(&mut self, turn: &Turn<'_>, first: Instant) {
        self.turns += 1;
        self.events += turn.events.len() as u64;
        self.pieces +=
            turn.events.iter().filter(|event| matches!(event, Event::Received { .. })).count() as u64;
        self.recorded = turn.now.since(first);
    }
}
