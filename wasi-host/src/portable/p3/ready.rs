//! The readiness of sources, for tasks.

use std::task::{Context, Poll, Waker};

use wasmtime::Result;

use super::super::io::{Ended, Io};
use super::super::sources::{Part, Ready};
use super::super::tasks::{Direction, Held};

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
        if !is_ready {
            source.waiting.park(direction, waker);
        } else if source.waiting.count(direction, turn) {
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
    pub(super) fn settle(&mut self) {
        for held in self.tasks.take_dropped() {
            match held {
                Held::Source(index, handle) => self.drop_stream(index, handle),
                Held::Standard(index) => {
                    self.uncount();
                    self.stdio.close(index);
                }
                Held::Lookup(index) => self.forget_lookup(index),
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
