//! Waiting by `polling`: kqueue, and whatever else it knows.

use std::io;
use std::time::Duration;

use polling::{Event, Events, Poller};
use sinbin_core::{Interest, Readiness};

use super::Waited;

pub(super) struct Backend {
    events: Events,
}

impl Backend {
    pub(super) fn new() -> Self {
        Self {
            events: Events::new(),
        }
    }

    /// Returns how many sources were reported as well.
    pub(super) fn wait(
        &mut self,
        poller: &Poller,
        timeout: Option<Duration>,
        ready: &mut impl FnMut(usize, Readiness),
    ) -> io::Result<(usize, Waited)> {
        self.events.clear();
        let count = poller.wait(&mut self.events, timeout)?;
        for event in self.events.iter() {
            ready(event.key, readiness(&event));
        }
        // A wait without events may have been notified: `polling` keeps that to itself.
        Ok((count, Waited { notified: true }))
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
