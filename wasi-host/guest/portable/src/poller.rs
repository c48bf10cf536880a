//! Waiting for readiness: `wasi:io/poll`, which takes the whole list each time.
//!
//! A host may report only so many at once, and the same ones first each time (wasmtime-wasi: 128, the oldest). Were
//! the list always given to it in one piece, the others would never have a turn. So, once many are ready, it is given
//! in portions that it can report in full, one to a turn: between two of them the listeners have theirs.

use sinbin_core::serve::Until;
use sinbin_core::{Instant, Interest, SourceId};
use wasi::clocks::monotonic_clock::{subscribe_duration, subscribe_instant};
use wasi::io::poll::{Pollable, poll};

/// How many are asked for at once where many are ready.
const PORTION: usize = 100;

/// How many ready ones are many.
const MANY: usize = 64;

/// Nanoseconds that a host is given to notice what has come in before a deadline. One that keeps readiness by itself
/// (tokio) asks the system only while it waits.
const NOTICE: u64 = 1_000_000;

/// The thing that a pollable stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A source is ready for this.
    Source(SourceId, Interest),
    /// Stdin has something to read, or its end.
    Stdin,
    /// The host has sent what it took for one of the connections that leave.
    Left,
}

/// The pollables to wait for, and what each stands for.
#[derive(Default)]
pub(crate) struct List<'a> {
    pollables: Vec<&'a Pollable>,
    keys: Vec<Key>,
}

impl<'a> List<'a> {
    /// Adds a pollable, if there is one.
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

/// The things to wait for, as pollables.
pub(crate) trait Watched {
    /// Adds the pollables that are looked at each time.
    fn gather_always<'a>(&'a self, list: &mut List<'a>);

    /// Adds up to `count` of the others, from the place `from` on. Returns the place behind them, if there is more.
    fn gather<'a>(&'a self, list: &mut List<'a>, from: usize, count: usize) -> Option<usize>;
}

/// Waits.
#[derive(Default)]
pub(crate) struct Poller {
    /// Many were ready the last time: it looks at portions.
    crowded: bool,
    /// The last wait has looked at the last of the sources.
    has_looked: bool,
    /// Where the next portion begins.
    next: usize,
    /// What was ready since the first portion.
    in_round: usize,
    /// The last timer: deadlines mostly move, and this one does as long as it is not later.
    timer: Option<(Instant, Pollable)>,
    found: Vec<Key>,
}

impl Poller {
    /// Waits for something that is `watched`, and returns what is ready. [`has_looked`](Self::has_looked) says whether
    /// that is all.
    pub(crate) fn wait(&mut self, watched: &impl Watched, now: Instant, until: Until) -> &[Key] {
        self.found.clear();
        self.has_looked = false;
        // A round that is under way has begun with this wait.
        if until == Until::Due && self.next == 0 {
            subscribe_duration(NOTICE).block();
        }
        if self.crowded {
            self.look_around(watched);
        }
        if self.found.is_empty() {
            self.ask_all(watched, now, until);
            self.crowded = self.found.len() >= MANY;
            // A host may have left out some of many.
            self.has_looked = !self.crowded;
            self.next = 0;
        }
        &self.found
    }

    /// Returns true if the last wait has looked at the last of the sources, each of which was looked at since the time
    /// before that this was so.
    pub(crate) fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// Looks at one portion after the other, until something is ready or all were looked at.
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

    /// Has a timer that is up at `deadline` at the latest.
    fn set_timer(&mut self, now: Instant, deadline: Instant) {
        if deadline == Instant::NEVER {
            self.timer = None;
        } else if !self.timer.as_ref().is_some_and(|(at, _)| *at > now && *at <= deadline) {
            self.timer = Some((deadline, subscribe_instant(deadline.as_nanos())));
        }
    }
}

impl List<'_> {
    /// Looks what is ready, without waiting: with a moment in the list that has come already.
    fn look(self, found: &mut Vec<Key>) {
        let past = subscribe_duration(0);
        let mut list = List { pollables: self.pollables, keys: self.keys };
        list.pollables.push(&past);
        list.ask(found);
    }

    /// Asks the host. A pollable that has no key is a timer.
    fn ask(&self, found: &mut Vec<Key>) {
        // To ask for nothing at all is an error.
        if !self.pollables.is_empty() {
            let ready = poll(&self.pollables);
            found.extend(ready.into_iter().filter_map(|index| self.keys.get(index as usize)));
        }
    }
}

/// Lets the host go on with its own work. One that lets only so many operations through for each go (tokio: 128, and a
/// `poll` may take all of them) begins to count anew.
pub(crate) fn yield_to_host() {
    subscribe_duration(0).block();
}
