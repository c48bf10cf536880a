//! `wasi:io/poll`: waiting for the pollables of a list.
//!
//! A pollable is the place of a source and a part of it, or a deadline. The readiness of a source is known, so the cost
//! of a pollable in a list is that of a few comparisons. What is not ready is noted in its source, so that changes lead
//! to their pollables without another look at the list.
//!
//! The answer begins after the pollable with which the previous one began, and its length is limited. A guest that
//! serves only the first of an answer, or only a part of its list, thus serves all of them in turn.

use sinbin::Instant;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::sync::io::poll::{Host, HostPollable};

use super::Guest;
use super::io::{Ended, Io};
use super::lookup::LookupId;
use super::slots::Place;
use super::sources::Part;

/// The maximum number of pollables of an answer. With more, the guest would poll too rarely, and accept too late.
const MOST: usize = 1024;

/// The subject of a pollable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pollable {
    /// A part of a source.
    Source(Place, Part),
    /// A deadline of the monotonic clock.
    At(Instant),
    /// Files and stderr, which never wait.
    Always,
    /// The capacity of stdout.
    Stdout,
    /// The result of looking up a name.
    Lookup(LookupId),
}

/// A list that is polled.
struct Asked<'l> {
    list: &'l [Resource<DynPollable>],
    answer: Vec<u32>,
    /// The deadlines in the list that were not ready, and their indexes.
    deadlines: Vec<(Instant, u32)>,
    earliest: Instant,
    /// True if the list contains stdout, and stdout has no capacity.
    waits_for_stdout: bool,
    /// True if the list contains a pollable that can become ready without a new connection.
    is_hopeful: bool,
    /// True if the answer is full, so that the rest of the list was not checked.
    is_full: bool,
}

impl<'l> Asked<'l> {
    const fn new(list: &'l [Resource<DynPollable>]) -> Self {
        Self {
            list,
            answer: Vec::new(),
            deadlines: Vec::new(),
            earliest: Instant::NEVER,
            waits_for_stdout: false,
            is_hopeful: false,
            is_full: false,
        }
    }

    /// Checks each pollable once, from the index `from` on and then from the beginning.
    fn check(&mut self, io: &mut Io, from: usize) -> Result<()> {
        let (list, count) = (self.list, self.list.len());
        for index in (from..count).chain(0..from) {
            let pollable = io.pollables.at(list[index].rep()).copied();
            let pollable = pollable.ok_or_else(|| Error::msg("the guest uses a pollable that is gone"))?;
            #[allow(clippy::cast_possible_truncation, reason = "the list was shorter than 2³² bytes")]
            let index = index as u32;
            if self.is_ready(io, pollable, index) {
                self.answer.push(index);
                if self.answer.len() >= MOST {
                    self.is_full = true;
                    break;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn is_ready(&mut self, io: &mut Io, pollable: Pollable, index: u32) -> bool {
        match pollable {
            Pollable::Source(place, part) => {
                let is_ready = io.sources.ask(place, part, index);
                self.is_hopeful |= !io.is_stopping || !io.sources.is_refusing(place);
                is_ready
            }
            Pollable::At(deadline) => {
                self.is_hopeful |= deadline != Instant::NEVER;
                self.earliest = self.earliest.min(deadline);
                self.deadlines.push((deadline, index));
                false
            }
            Pollable::Always => true,
            Pollable::Stdout => {
                let is_ready = io.stdio.has_room();
                self.waits_for_stdout |= !is_ready;
                self.is_hopeful = true;
                is_ready
            }
            Pollable::Lookup(id) => {
                self.is_hopeful = true;
                io.lookups.is_ready(id)
            }
        }
    }

    /// Adds what has become ready since the list was checked.
    fn gather(&mut self, io: &mut Io) {
        self.answer.append(&mut io.sources.fresh);
        if self.earliest == Instant::NEVER {
            return;
        }
        let now = io.now();
        if self.earliest <= now {
            let over = self.deadlines.iter().filter(|(deadline, _)| *deadline <= now);
            self.answer.extend(over.map(|(_, index)| *index));
            // The next call must not add them again.
            self.earliest = Instant::NEVER;
        }
    }

    /// Waits until something in the list may be ready.
    fn wait(&mut self, io: &mut Io) -> Result<()> {
        if io.is_stopping && !self.is_hopeful && !io.sources.holds_back() {
            return Err(Ended::Drained.into());
        }
        let mut deadline = self.earliest;
        if self.waits_for_stdout {
            deadline = deadline.min(io.deadline_of_stdout());
            io.sources.is_stale = true;
        }
        let list = self.list;
        let pollable = |io: &Io, index: usize| io.pollables.at(list[index].rep()).copied();
        io.wait_for_any(deadline, list.len(), pollable)
    }
}

impl Io {
    /// Waits until at least one pollable of the list is ready. Returns the indexes of the ready ones.
    ///
    /// # Errors
    ///
    /// Traps if the list is empty or too long. Fails if the guest is to be ended.
    fn poll(&mut self, list: &[Resource<DynPollable>]) -> Result<Vec<u32>> {
        let count = list.len();
        if count == 0 {
            return Err(Error::msg("the guest polls an empty list"));
        }
        // A list may contain the same resource many times, so its length must be limited as well.
        if count > self.max_handles {
            let most = self.max_handles;
            return Err(Error::msg(format!(
                "the guest polls {count} resources at once; the limit is {most}"
            )));
        }
        let from = self.next % count;
        let mut asked = Asked::new(list);
        self.sources.begin_poll();
        asked.check(self, from)?;
        // Whatever is ready already, or a deadline that has passed, does not hide what has arrived since.
        let is_due =
            !asked.answer.is_empty() || (asked.earliest != Instant::NEVER && asked.earliest <= self.now());
        if is_due {
            self.look()?;
        } else {
            asked.wait(self)?;
        }
        asked.gather(self);
        while asked.answer.is_empty() {
            if self.sources.is_stale {
                asked = Asked::new(list);
                self.sources.begin_poll();
                asked.check(self, from)?;
                asked.gather(self);
                if !asked.answer.is_empty() {
                    break;
                }
            }
            asked.wait(self)?;
            asked.gather(self);
        }
        self.end_wait();
        let Asked { mut answer, is_full, .. } = asked;
        // A full answer goes on where it ended. Another one begins after its first pollable the next time.
        let last = if is_full { answer.get(MOST - 1) } else { answer.first() };
        self.next = last.map_or(0, |index| *index as usize + 1);
        answer.truncate(MOST);
        Ok(answer)
    }

    /// Returns true if a pollable is ready.
    fn is_ready(&mut self, pollable: &Resource<DynPollable>) -> Result<bool> {
        let one = [Resource::new_borrow(pollable.rep())];
        let mut asked = Asked::new(&one);
        self.sources.begin_poll();
        asked.check(self, 0)?;
        if asked.answer.is_empty() {
            self.look_again()?;
            asked.gather(self);
            if asked.answer.is_empty() && self.sources.is_stale {
                self.sources.begin_poll();
                asked.check(self, 0)?;
            }
        }
        Ok(!asked.answer.is_empty())
    }

    /// Creates a pollable.
    pub(super) fn subscribe(&mut self, pollable: Pollable) -> Result<Resource<DynPollable>> {
        self.count(1)?;
        let place =
            self.pollables.insert(pollable).ok_or_else(|| Error::msg("there are too many pollables"))?;
        Ok(Resource::new_own(place.index))
    }

    /// Creates a pollable for a part of a source.
    pub(super) fn subscribe_to(&mut self, index: u32, part: Part) -> Result<Resource<DynPollable>> {
        let place = self.sources.place(index)?;
        self.subscribe(Pollable::Source(place, part))
    }
}

impl Host for Guest {
    fn poll(&mut self, list: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        self.io.poll(&list)
    }
}

impl HostPollable for Guest {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        self.io.is_ready(&pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.io.poll(&[pollable]).map(drop)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.io.uncount();
        self.io.pollables.remove(pollable.rep());
        Ok(())
    }
}
