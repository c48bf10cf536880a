//! A loop that is looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sinbin_core::Instant;

use crate::observe::error::ObserveError;
use crate::observe::event::{self, Event};
use crate::observe::guest_notes::printable;
use crate::observe::guest_tables::Tables;
use crate::observe::header::{EVENT_WORDS, Header, LABEL_WORDS, MAX_EVENTS, PARTS, Part, Phase};
use crate::observe::region::{Region, copy};
use crate::observe::snapshot::SpawnLabel;

/// A loop of another process, or of this one, whose tables can be read.
pub struct Observed {
    pid: u32,
    descriptor: u32,
    region: Arc<Region>,
}

impl Observed {
    /// Creates the reader of a loop. Returns `None` if a table is not within the memory.
    pub(crate) fn new(pid: u32, descriptor: u32, region: Arc<Region>) -> Option<Self> {
        let observed = Self { pid, descriptor, region };
        let are_within = PARTS.into_iter().all(|part| {
            let span = &observed.header().parts[part as usize];
            span.words.load(Ordering::Relaxed) as usize == part.words() && observed.rows(part).is_some()
        });
        are_within.then_some(observed)
    }

    /// Returns the id of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns a number that distinguishes the loops of a process: the descriptor of the memory.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.descriptor
    }

    /// Returns the events after the event `number` that are still in the ring, oldest first. The ring has the last 1024
    /// events; the numbers show how many were missed.
    #[must_use]
    pub fn events_after(&self, number: u64) -> Vec<Event> {
        let last = self.header().turning.events.load(Ordering::Acquire);
        let first = number.max(last.saturating_sub(MAX_EVENTS as u64)) + 1;
        let events = (first..=last)
            .filter_map(|number| event::read(self.row(Part::Events, event::index(number))?, number));
        events.collect()
    }

    /// Returns the stack of a guest in a sandbox during its present turn, as the host has noted it last: a text with a line
    /// for each frame, and the moment by the loop's clock. A turn has a stack once it has taken longer than a tick of the
    /// timer that interrupts guests.
    ///
    /// # Errors
    ///
    /// Fails as [`state`](Self::state) does.
    pub fn guest_stack(&self) -> Result<Option<(Instant, String)>, ObserveError> {
        let state = self.state()?;
        let Some((at, text)) = self.guest().and_then(|guest| guest.stack()) else { return Ok(None) };
        let at = Instant::from_nanos(at.saturating_sub(self.header().zero.load(Ordering::Relaxed)));
        let is_of_turn = state.phase == Phase::Running && at >= state.turn;
        // A guest chooses the names of its functions.
        let text = text.split('\n').map(printable).collect::<Vec<_>>().join("\n");
        Ok(is_of_turn.then_some((at, text)))
    }

    /// Returns true if the loop drives a guest in a sandbox whose host notes its stack.
    #[must_use]
    pub fn drives_sandbox(&self) -> bool {
        self.header().guest.load(Ordering::Relaxed) != 0
    }

    /// Returns the memory of a guest in a sandbox, if the loop drives one.
    pub(crate) fn guest(&self) -> Option<Tables> {
        let descriptor = self.header().guest.load(Ordering::Acquire).checked_sub(1)?;
        Tables::open(self.pid, descriptor)
    }

    pub(crate) fn header(&self) -> &Header {
        self.region.header()
    }

    /// Returns the words of all rows that a table can have.
    fn rows(&self, part: Part) -> Option<&[AtomicU32]> {
        let span = &self.header().parts[part as usize];
        let offset = usize::try_from(span.offset.load(Ordering::Relaxed)).ok()?;
        self.region.words(offset, (span.limit.load(Ordering::Relaxed) as usize).checked_mul(part.words())?)
    }

    /// Returns the words of the rows that were ever in use.
    pub(crate) fn used(&self, part: Part) -> &[AtomicU32] {
        let len = self.header().parts[part as usize].len.load(Ordering::Acquire) as usize;
        let rows = self.rows(part).unwrap_or(&[]);
        &rows[..rows.len().min(len.saturating_mul(part.words()))]
    }

    /// Returns the maximum number of rows of a table.
    pub(crate) fn rows_of(&self, part: Part) -> usize {
        self.header().parts[part as usize].limit.load(Ordering::Relaxed) as usize
    }

    /// Returns the words of a row.
    pub(crate) fn row(&self, part: Part, index: usize) -> Option<&[AtomicU32]> {
        let begin = index.checked_mul(part.words())?;
        self.rows(part)?.get(begin..begin + part.words())
    }

    /// Returns the label with this number; 0 is none. Labels never change.
    pub(crate) fn label(&self, number: u32) -> Option<SpawnLabel> {
        let labels = self.used(Part::Labels);
        let begin = (number.checked_sub(1)? as usize).checked_mul(LABEL_WORDS)?;
        let [offset, lengths] = copy::<LABEL_WORDS>(labels.get(begin..)?)?;
        let (name, place) = ((lengths & 0xffff) as usize, (lengths >> 16) as usize);
        let texts = self.rows(Part::Texts)?.get(offset as usize..)?;
        let words = texts.get(..(name + place).div_ceil(4))?;
        let mut bytes: Vec<u8> =
            words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        bytes.truncate(name + place);
        let place = bytes.split_off(name);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Some(SpawnLabel { name: text(bytes), spawned: (!place.is_empty()).then(|| text(place)) })
    }
}

const _: () = assert!(Part::Events.words() == EVENT_WORDS);
