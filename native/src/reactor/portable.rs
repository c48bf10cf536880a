//! Waiting by `polling`: kqueue, and whatever else it knows.

use std::io;
use std::time::Duration;

use polling::{Event, Events, Poller};
use sinbin_core::{Instant, Interest, Readiness};

use super::Until;

pub(super) struct Backend {
    events: Events,
}

impl Backend {
    pub(super) fn new(_: &Poller) -> io::Result<Self> {
        Ok(Self { events: Events::new() })
    }

    /// Returns how many sources were reported.
    pub(super) fn wait(
        &mut self,
        poller: &Poller,
        until: Until,
        _: Instant,
        clock: &impl Fn() -> Instant,
        ready: &mut impl FnMut(usize, Readiness),
    ) -> io::Result<usize> {
        let timeout = match until {
            Until::Now => Some(Duration::ZERO),
            Until::At(deadline) => Some(deadline.since(clock())),
            Until::Ever => None,
        };
        self.events.clear();
        let count = poller.wait(&mut self.events, timeout)?;
        for event in self.events.iter() {
            ready(event.key, readiness(&event));
        }
        Ok(count)
    }
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
