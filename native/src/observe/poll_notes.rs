//! The notes of a host of WASI commands: whether the command computes or waits, and what for.
//!
//! A command polls whatever it likes, often the same thousand sockets each time. So only a few numbers are noted in each
//! wait, and the list of its pollables at most ten times a second: its host decides when, by [`PollNotes::is_due`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant as Moment};

use sinbin_core::Instant;
use sinbin_core::observe::Beacon as _;

use crate::observe::board::{Board, Mark};
use crate::observe::event::halves;
use crate::observe::guest_memory::{GuestMemory, GuestTables};
use crate::observe::header::{Drives, POLLABLE_WORDS, Part, Phase};
use crate::observe::observer::{LimitsOfLoop, Observer};
use crate::observe::pollable::{self, MAX_POLLABLES, Pollable};
use crate::observe::region::{HeaderRef, Region};
use crate::observe::snapshot::Counter;
use crate::readiness::Watcher;

/// The least time between the beginnings of two lists.
const EVERY: Duration = Duration::from_millis(100);

/// The least share of the time between two lists in which none is made.
const REST: u32 = 100;

/// The notes about a WASI command, which other processes of the user can read. Only one thread may write them.
pub struct PollNotes {
    observer: Observer,
    header: HeaderRef,
    mark: Mark,
    /// The memory for the command's stack.
    stack: Option<Arc<GuestMemory>>,
    /// The number of the present wait, or of the last one.
    number: u32,
    since: Instant,
    is_waiting: bool,
    /// The time from which on the next list is due.
    due: Instant,
    is_listed: bool,
    /// The number of waits before the last tick of the timer that interrupts guests.
    at_tick: u32,
}

impl PollNotes {
    /// Creates the notes about the command `name`, whose host waits by `watcher` on this thread. If the system cannot
    /// provide the memory, a warning is logged, and `None` is returned.
    #[must_use]
    pub fn new(watcher: &Watcher, name: &str, max_connections: usize, max_buffered: usize) -> Option<Self> {
        let board = Board::of_command(1 + MAX_POLLABLES)
            .inspect_err(|error| tracing::warn!(%error, "other processes can't look at this one"))
            .ok()?;
        let mut observer = Observer::new(&board);
        observer.drives(Drives::Command);
        let bounds =
            LimitsOfLoop { connections: max_connections, buffered: max_buffered, jobs: 0, workers: 0 };
        observer.begin(watcher.clock_zero(), &bounds, name);
        observer.note_thread();
        // Without the memory, only the stack of a command that computes is missing.
        let stack = GuestTables::new(&board).memory(0, |_, _| Ok(())).ok().map(Arc::new);
        let now = watcher.now();
        observer.turn(now);
        Some(Self {
            observer,
            header: board.header(),
            mark: board.mark(),
            stack,
            number: 0,
            since: now,
            is_waiting: false,
            due: now,
            is_listed: false,
            at_tick: 0,
        })
    }

    /// Notes that the command waits for `count` pollables, unless that is noted already. `connections` is the number of
    /// its open connections.
    #[inline]
    pub fn begin_wait(&mut self, now: Instant, count: usize, connections: usize) {
        if self.is_waiting {
            return;
        }
        (self.is_waiting, self.is_listed, self.since) = (true, false, now);
        self.number = self.number.checked_add(1).unwrap_or(1);
        if let Some([number, since, since2, pollables, ..]) = row(self.header.region(), 0) {
            number.store(0, Ordering::Relaxed);
            fence(Ordering::Release);
            let [low, high] = halves(now.as_nanos());
            since.store(low, Ordering::Relaxed);
            since2.store(high, Ordering::Relaxed);
            pollables.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
            number.store(self.number, Ordering::Release);
        }
        let turning = &self.header.turning;
        turning.counters[Counter::Open as usize].store(connections as u64, Ordering::Relaxed);
        turning.waits.store(turning.waits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.observer.phase(Phase::Waiting);
    }

    /// Notes that the wait has ended, and the command computes.
    #[inline]
    pub fn end_wait(&mut self, now: Instant) {
        self.is_waiting = false;
        self.observer.turn(now);
    }

    /// Returns true if a wait has begun, and has not ended.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Returns the time at which the present wait began.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Returns true if the pollables of the present wait are to be listed now.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        !self.is_listed && now >= self.due
    }

    /// Returns the time at which the pollables of the present wait are to be listed, if it lasts so long;
    /// [`Instant::NEVER`] if they are listed.
    #[must_use]
    pub fn due(&self) -> Instant {
        if self.is_listed { Instant::NEVER } else { self.due }
    }

    /// Lists the pollables of the present wait: the first 4096.
    pub fn list(&mut self, now: Instant, pollables: impl Iterator<Item = Pollable>) {
        let begun = Moment::now();
        let header = &self.header;
        self.mark.begin();
        let mut count = 1;
        for (index, pollable) in (1..=MAX_POLLABLES).zip(pollables) {
            if let Some(row) = row(header.region(), index) {
                pollable::write(row, &pollable);
            }
            count = index + 1;
        }
        let len = u32::try_from(count).unwrap_or(u32::MAX);
        header.parts[Part::Pollables as usize].len.store(len, Ordering::Relaxed);
        header.turning.listed.store(self.number, Ordering::Relaxed);
        self.mark.end(u32::MAX);
        self.is_listed = true;
        // A long list takes a system call for each of its addresses.
        self.due = now + EVERY.max(begun.elapsed().saturating_mul(REST));
    }

    /// Returns the memory for the command's stack, if the command has computed since the last tick of the timer that
    /// interrupts guests. Must be called at each tick.
    pub fn stack_at_tick(&mut self) -> Option<Arc<GuestMemory>> {
        let is_kept = self.at_tick == self.number;
        self.at_tick = self.number;
        self.stack.clone().filter(|_| is_kept && !self.is_waiting)
    }

    /// Notes that the command was requested to stop.
    pub fn draining(&mut self) {
        self.observer.draining();
    }

    /// Notes that the command has ended, or was ended on request, and how many connections were cut off.
    pub fn ended(&self, cut: usize) {
        self.observer.cut(cut);
        self.observer.phase(Phase::Ended);
    }
}

/// Returns a row of the table of pollables.
fn row(region: &Arc<Region>, index: usize) -> Option<&[AtomicU32]> {
    let span = &region.header().parts[Part::Pollables as usize];
    let offset = usize::try_from(span.offset.load(Ordering::Relaxed)).ok()?;
    region.words(offset + 4 * POLLABLE_WORDS * index, POLLABLE_WORDS)
}
