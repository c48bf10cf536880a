//! Waiting on the poller's own epoll descriptor.

use std::io;
use std::time::Duration;

use polling::{Events, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use sinbin_core::{Interest, Readiness};

use super::Waited;

/// Sources that one wait reports at the most.
const BATCH: usize = 1024;

/// The key under which `polling` keeps its notifier. No source has it as its index.
const NOTIFIER: u64 = usize::MAX as u64;

pub(super) struct Backend {
    events: Vec<epoll::Event>,
}

impl Backend {
    pub(super) fn new() -> Self {
        Self {
            events: Vec::with_capacity(BATCH),
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
        // A span that is too long for the system is as good as for ever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(poller, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut notified = false;
        for event in &self.events {
            match event.data.u64() {
                NOTIFIER => notified = true,
                index => ready(
                    usize::try_from(index).unwrap_or(usize::MAX),
                    readiness(event.flags),
                ),
            }
        }
        if notified {
            clear_notification(poller)?;
        }
        Ok((
            self.events.len() - usize::from(notified),
            Waited { notified },
        ))
    }
}

fn readiness(flags: epoll::EventFlags) -> Readiness {
    use epoll::EventFlags as Flags;
    let mut readiness = Interest::NONE;
    if flags.intersects(Flags::IN | Flags::PRI) {
        readiness = readiness | Interest::RECV;
    }
    if flags.intersects(Flags::OUT) {
        readiness = readiness | Interest::SEND;
    }
    if flags.intersects(Flags::HUP | Flags::ERR) {
        readiness = readiness | Interest::HANGUP;
    }
    readiness
}

/// `polling` takes its notification back when it waits itself. Sources that are ready then are ready in the
/// next wait as well.
#[cold]
fn clear_notification(poller: &Poller) -> io::Result<()> {
    poller.wait(&mut Events::new(), Some(Duration::ZERO))?;
    Ok(())
}
