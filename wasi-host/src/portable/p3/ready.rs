//! The readiness of sources, for tasks.

use std::task::{Context, Poll, Waker};

use wasmtime::Result;

use super::super::io::{Ended, Io};
use super::super::slots::Place;
use super::super::sources::{Kind, Part, Ready, Source, Sources};
use super::super::tasks::{Direction, Held, MAX_ACCEPTS, MAX_USES};

/// Returns the direction in which the readiness of a part changes.
fn direction(is_output: bool) -> Direction {
    if is_output { Direction::Output } else { Direction::Input }
}

impl Io {
    /// Returns whether a part of a source is ready. If it is not, or if the source has had its operations of this turn,
    /// the task is woken later.
    pub(super) fn poll_ready(&mut self, index: u32, part: Part, context: &Context<'_>) -> Poll<Result<()>> {
        match self.ready_or_park(index, part, context.waker()) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn ready_or_park(&mut self, index: u32, part: Part, waker: &Waker) -> Result<bool> {
        let place = self.sources.place(index)?;
        let is_ready = self.sources.is_ready(place, part);
        let turn = self.tasks.turn;
        let source = self.sources.of(index)?;
        let direction = direction(source.is_output(part));
        let most = if matches!(source.kind, Kind::Listener(_)) { MAX_ACCEPTS } else { MAX_USES };
        if !is_ready {
            source.waiting.park(direction, waker);
        } else if source.waiting.count(direction, turn, most) {
            return Ok(true);
        } else {
            self.tasks.put_off(waker);
        }
        Ok(false)
    }

    /// Notes that the system had no more input, or accepted no more output.
    pub(super) fn exhausted(&mut self, index: u32, part: Part) -> Result<()> {
        let source = self.sources.of(index)?;
        source.ready = match part {
            Part::Output => source.ready.without(Ready::OUTPUT),
            Part::Input | Part::Socket => source.ready.without(Ready::INPUT.and(Ready::END)),
        };
        Ok(())
    }

    /// Executes what tasks have dropped.
    pub(in super::super) fn settle(&mut self) {
        for held in self.tasks.take_dropped() {
            match held {
                Held::Source(index, handle) => self.drop_stream(index, handle),
                Held::Standard(index) => {
                    self.uncount();
                    self.stdio.close(index);
                }
                Held::Lookup(index) => self.forget_lookup(index),
                Held::Timer => self.uncount(),
                Held::Call(bytes) => {
                    self.uncount();
                    self.sources.unsent = self.sources.unsent.saturating_sub(bytes);
                }
            }
        }
    }

    /// Begins a turn of the loop. Waits for a change, unless there is something to do.
    ///
    /// # Errors
    ///
    /// Fails if the guest is to be ended.
    pub(super) fn turn(&mut self, has_work: bool) -> Result<()> {
        self.settle();
        self.sources.is_stale = false;
        if self.tasks.begin_turn() || has_work {
            return self.look();
        }
        if self.is_stopping && !self.is_waited_for() {
            return Err(Ended::Drained.into());
        }
        self.wait_for_tasks()?;
        self.end_wait();
        Ok(())
    }

    /// Returns true if a task waits for something that can still happen, or if a connection has bytes left to send.
    fn is_waited_for(&mut self) -> bool {
        self.tasks.has_any()
            || self.sources.holds_back()
            || self.sources.iter_mut().any(|(_, source)| source.waiting.has_any())
    }
}

impl Source {
    /// Returns the part whose readiness changes in a direction.
    fn part(&self, direction: Direction) -> Part {
        match (&self.kind, direction) {
            (Kind::Listener(_), _) => Part::Socket,
            (Kind::Tcp(tcp), Direction::Output) if tcp.is_connecting() => Part::Socket,
            (_, Direction::Input) => Part::Input,
            (_, Direction::Output) => Part::Output,
        }
    }
}

impl Sources {
    /// Returns the parts of sources that tasks wait for.
    pub(in super::super) fn waited_for(&mut self) -> Vec<(Place, Part)> {
        let mut parts = Vec::new();
        for (index, source) in self.iter_mut() {
            let directions = [Direction::Input, Direction::Output];
            let waiting = directions.into_iter().filter(|direction| source.waiting.is_for(*direction));
            parts.extend(waiting.map(|direction| (index, source.part(direction))));
        }
        parts.into_iter().filter_map(|(index, part)| Some((self.place(index).ok()?, part))).collect()
    }
}
