//! The portable backend: waiting with `polling`, on every system that it supports.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use polling::{Event, Events};
use sinbin_core::{Instant, Interest, Readiness};

use super::Wake;
use super::wait::System;

pub(crate) use super::register::Registry;

/// False: `polling` does not report the end of the input.
pub(crate) const REPORTS_END: bool = false;

/// The number of events that take capacity but are not reported by `polling`: those of its notifier and its timer.
const UNTOLD: usize = 2;

/// The longest timeout. Some systems reject a timeout of years, and a wait may end early.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The calls of the backend to `polling`.
pub(super) trait Calls {
    /// Waits for at most `timeout`, and finds at most [`room`](Self::room) events.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Returns the capacity for events of the last wait.
    fn room(&self) -> usize;

    /// Increases the capacity for events.
    fn grow(&mut self);

    /// Iterates over the reported events of the last wait.
    fn found(&self) -> impl Iterator<Item = (usize, Readiness)>;
}

pub(super) struct Backend<C = Polled> {
    calls: C,
}

impl Backend {
    /// Creates a backend whose waits have an initial capacity of `room` events, with its waker and its registry.
    pub(super) fn new(room: usize) -> io::Result<(Self, Waker, Registry)> {
        let registry = Registry::new()?;
        let calls = Polled { registry: registry.clone(), events: events(room) };
        Ok((Self::with(calls), registry.clone(), registry))
    }
}

impl<C: Calls> Backend<C> {
    pub(super) const fn with(calls: C) -> Self {
        Self { calls }
    }
}

impl<C: Calls> System for Backend<C> {
    fn timeout(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>> {
        Ok(Some(deadline.since(clock()).min(LONGEST)))
    }

    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.calls.wait(timeout)?;
        let is_full = self.calls.found().count() + UNTOLD >= self.calls.room();
        if is_full {
            self.calls.grow();
        }
        Ok(is_full)
    }

    fn tell(&mut self, ready: &mut impl FnMut(usize, Readiness)) -> usize {
        self.calls.found().map(|(index, readiness)| ready(index, readiness)).count()
    }
}

/// The poller, which wakes its own waits.
pub(super) type Waker = Registry;

impl Wake for Waker {
    fn wake(&self) {
        // If the notifier cannot be written to, it is full, and the loop will wake anyway.
        self.poller().notify().ok();
    }
}

/// The real `polling`.
pub(super) struct Polled {
    registry: Registry,
    events: Events,
}

impl Calls for Polled {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.registry.poller().wait(&mut self.events, timeout)?;
        Ok(())
    }

    fn room(&self) -> usize {
        self.events.capacity().get()
    }

    fn grow(&mut self) {
        self.events = events(self.room() * 2);
    }

    fn found(&self) -> impl Iterator<Item = (usize, Readiness)> {
        self.events.iter().map(|event| (event.key, readiness(&event)))
    }
}

fn events(room: usize) -> Events {
    Events::with_capacity(NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN))
}

fn readiness(event: &Event) -> Readiness {
    let mut readiness = Interest::NONE;
    if event.readable {
        readiness = readiness | Interest::RECV;
    }
    if event.writable {
        readiness = readiness | Interest::SEND;
    }
    if event.is_err().unwrap_or(false) {
        readiness = readiness | Interest::HANGUP;
    }
    readiness
}
