//! How a playback is asked for, and how it went.

use std::time::Duration;

use sinbin_core::Instant;
use sinbin_core::driven::Event;
use sinbin_core::driven::recording::Turn;

/// What of a recording is told as a story.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The first turn; the recording's first is 1. Those before are run all the same, or this one would not answer the same.
    pub from: u64,
    /// How many, from there on. Those behind are not run.
    pub turns: u64,
}

impl Default for Part {
    /// All of it.
    fn default() -> Self {
        Self { from: 1, turns: u64::MAX }
    }
}

impl Part {
    /// Returns true if the turn is one of them.
    #[must_use]
    pub fn has(self, turn: u64) -> bool {
        turn >= self.from && turn - self.from < self.turns
    }

    pub(crate) fn is_behind(self, turn: u64) -> bool {
        turn >= self.from && !self.has(turn)
    }
}

/// How a recording ends, as far as it was played back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The server ended.
    Whole,
    /// The recording had reached its limit, and the server went on.
    Limit,
    /// Whoever writes it was killed, or is still at it, behind so many bytes.
    Short(u64),
    /// Here, as was wished.
    Wished,
}

/// The first turn that went otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which; the first is 1.
    pub turn: u64,
    /// What the guest was told and what it answers now, line by line; what is long is shortened.
    pub story: String,
    /// More about why, where one of the two failed.
    pub why: Option<String>,
}

/// How a playback went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Played {
    /// Turns that were told.
    pub turns: u64,
    /// Events in them.
    pub events: u64,
    /// Of these, pieces of bytes that were received: about as many as requests.
    pub pieces: u64,
    /// From the first turn to the last, when it was recorded.
    pub recorded: Duration,
    /// How long it took now.
    pub took: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Where it went otherwise; the playback ends there.
    pub difference: Option<Difference>,
}

impl Played {
    /// Nothing is told yet.
    pub(crate) fn new() -> Self {
        let ending = Ending::Wished;
        let (recorded, took) = (Duration::ZERO, Duration::ZERO);
        Self { turns: 0, events: 0, pieces: 0, recorded, took, ending, difference: None }
    }

    /// Another turn is told; `first` is the time of the first one.
    pub(crate) fn count(&mut self, turn: &Turn<'_>, first: Instant) {
        self.turns += 1;
        self.events += turn.events.len() as u64;
        self.pieces +=
            turn.events.iter().filter(|event| matches!(event, Event::Received { .. })).count() as u64;
        self.recorded = turn.now.since(first);
    }
}
