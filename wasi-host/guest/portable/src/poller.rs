//! Waiting for readiness with `wasi:io/poll`, which takes the whole list of pollables each time.
//!
//! A host may report only a limited number of ready pollables at once, and may always prefer the same ones
//! (wasmtime-wasi: 128, the oldest first). If every poll used the whole list, the other sources could starve.
//! Therefore, once many sources are ready, the list is polled in portions that the host can report completely, one
//! portion per turn. The listeners are polled with each portion.

use sinbin_core::serve::Until;
use sinbin_core::{Instant, Interest, SourceId};
use wasi::clocks::monotonic_clock::{subscribe_duration, subscribe_instant};
use wasi::io::poll::{Pollable, poll};

/// The number of connections in a portion.
const PORTION: usize = 100;

/// The number of ready pollables from which on portions are polled.
const MANY: usize = 64;

/// The time that a host gets to notice what arrived before a deadline, in nanoseconds. A host that caches readiness
/// (tokio) polls the system only while it waits.
const NOTICE: u64 = 1_000_000;

/// The meaning of a ready pollable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The source has this readiness.
    Source(SourceId, Interest),
    /// Stdin has bytes to read, or has ended.
    Stdin,
    /// A leaving connection can send again, so the host may have sent all of its bytes.
    Left,
}

/// The pollables to wait for, and the meaning of each.
#[derive(Default)]
pub(crate) struct List<'a> {
    pollables: Vec<&'a Pollable>,
    keys: Vec<Key>,
}

impl<'a> List<'a> {
    /// Adds a pollable, unless it is `None`.
    pub(crate) fn push_some(&mut self, pollable: Option<&'a Pollable>, key: Key) {
        if let Some(pollable) = pollable {
            self.push(pollable, key);
        }
    }

    pub(crate) fn push(&mut self, pollable: &'a Pollable, key: Key) {
        self.pollables.push(pollable);
        self.keys.push(key);
    }
}

/// A set of pollables to wait for.
pub(crate) trait Watched {
    /// Adds the pollables that belong to every portion.
    fn gather_always<'a>(&'a self, list: &mut List<'a>);

    /// Adds the pollables of up to `count` connections, starting at the slot `from`. Returns the slot of the next
    /// connection, or `None` if there are no more.
    fn gather<'a>(&'a self, list: &mut List<'a>, from: usize, count: usize) -> Option<usize>;
}

/// A poller, which decides whether to poll the whole list or portions of it.
#[derive(Default)]
pub(crate) struct Poller {
    /// True if many pollables were ready the last time, so portions are polled.
    crowded: bool,
    /// True if the last wait completed a poll of all sources.
    has_looked: bool,
    /// The slot at which the next portion begins.
    next: usize,
    /// The number of ready pollables since the first portion.
    in_round: usize,
    /// The last timer. Deadlines change often, and a timer is reused as long as it is not later than the deadline.
    timer: Option<(Instant, Pollable)>,
    /// The ready pollables of the last wait.
    found: Vec<Key>,
}

impl Poller {
    /// Waits for the `watched` pollables, and returns the ready ones. [`has_looked`](Self::has_looked) returns whether
    /// all sources are polled.
    pub(crate) fn wait(&mut self, watched: &impl Watched, now: Instant, until: Until) -> &[Key] {
        self.found.clear();
        self.has_looked = false;
        // Only the first portion of a round waits, so that the wait comes before the whole round.
        if until == Until::Due && self.next == 0 {
            subscribe_duration(NOTICE).block();
        }
        if self.crowded {
            self.look_around(watched);
        }
        if self.found.is_empty() {
            self.ask_all(watched, now, until);
            self.crowded = self.found.len() >= MANY;
            // If many are ready, the host may have omitted some.
            self.has_looked = !self.crowded;
            self.next = 0;
        }
        &self.found
    }

    /// Returns true if the last wait completed a poll of all sources: each source was polled since the previous time
    /// that this was true.
    pub(crate) fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// Polls one portion after the other, until a pollable is ready or all portions are polled.
    fn look_around(&mut self, watched: &impl Watched) {
        while self.found.is_empty() && !self.has_looked {
            yield_to_host();
            let mut list = List::default();
            watched.gather_always(&mut list);
            let next = watched.gather(&mut list, self.next, PORTION);
            list.look(&mut self.found);
            self.in_round += self.found.len();
            self.next = next.unwrap_or(0);
            if next.is_none() {
                self.has_looked = true;
                self.crowded = self.in_round >= MANY;
                self.in_round = 0;
            }
        }
    }

    fn ask_all(&mut self, watched: &impl Watched, now: Instant, until: Until) {
        let mut list = List::default();
        watched.gather_always(&mut list);
        watched.gather(&mut list, 0, usize::MAX);
        match until {
            Until::Poll | Until::Due => list.look(&mut self.found),
            Until::At(deadline) => {
                self.set_timer(now, deadline);
                list.pollables.extend(self.timer.as_ref().map(|(_, timer)| timer));
                list.ask(&mut self.found);
            }
        }
    }

    /// Sets a timer that expires at `deadline` or earlier.
    fn set_timer(&mut self, now: Instant, deadline: Instant) {
        if deadline == Instant::NEVER {
            self.timer = None;
        } else if !self.timer.as_ref().is_some_and(|(at, _)| *at > now && *at <= deadline) {
            self.timer = Some((deadline, subscribe_instant(deadline.as_nanos())));
        }
    }
}

impl List<'_> {
    /// Polls without waiting, by adding a timer that has already expired.
    fn look(self, found: &mut Vec<Key>) {
        let past = subscribe_duration(0);
        let mut list = List { pollables: self.pollables, keys: self.keys };
        list.pollables.push(&past);
        list.ask(found);
    }

    /// Polls, and waits until a pollable is ready. A pollable without a key is a timer.
    fn ask(&self, found: &mut Vec<Key>) {
        // Polling an empty list is an error.
        if !self.pollables.is_empty() {
            let ready = poll(&self.pollables);
            found.extend(ready.into_iter().filter_map(|index| self.keys.get(index as usize)));
        }
    }
}

/// Yields to the host. A host that limits the number of operations between two yields (tokio: 128, which a single
/// `poll` may use up) resets its budget.
pub(crate) fn yield_to_host() {
    subscribe_duration(0).block();
}
