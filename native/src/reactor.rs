//! Readiness from the operating system: which sources are watched, and what is so of them.
//!
//! Registration and notification are `polling`'s everywhere. Waiting is too, except on Linux: there
//! `Poller::wait` makes five system calls, and [`epoll`] makes one on the same descriptor.

#[cfg(all(target_os = "linux", not(sinbin_portable)))]
#[path = "reactor/epoll.rs"]
mod backend;
#[cfg(not(all(target_os = "linux", not(sinbin_portable))))]
#[path = "reactor/portable.rs"]
mod backend;
mod register;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use polling::Poller;
use sinbin_core::{Instant, Interest, Readiness};

use crate::sockets::Socket;

/// Wakes a reactor that waits, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Notifier(Arc<Poller>);

impl Notifier {
    /// Ends the current or the next wait. Many before one wait count as one.
    pub(crate) fn notify(&self) {
        if let Err(error) = self.0.notify() {
            tracing::error!(%error, "the loop could not be notified");
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// Not at all: just look.
    Now,
    /// Until then. A wait may end early.
    At(Instant),
    /// For as long as it takes.
    Ever,
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waited {
    /// Something did: a source is ready, or somebody notified.
    pub(crate) any: bool,
    /// Somebody notified the reactor.
    pub(crate) notified: bool,
}

/// Watches sources, level-triggered, under the index of their id.
pub(crate) struct Reactor {
    poller: Arc<Poller>,
    backend: backend::Backend,
    busy_poll: Duration,
}

impl Reactor {
    /// A reactor that, before it blocks, looks again and again for `busy_poll`.
    pub(crate) fn new(busy_poll: Duration) -> io::Result<Self> {
        let poller = Poller::new()?;
        let backend = backend::Backend::new(&poller)?;
        Ok(Self { poller: Arc::new(poller), backend, busy_poll })
    }

    pub(crate) fn notifier(&self) -> Notifier {
        Notifier(Arc::clone(&self.poller))
    }

    /// Watches the socket for `interest`, where it was watched for `before`.
    pub(crate) fn watch(
        &self,
        socket: &Socket,
        index: usize,
        before: Interest,
        interest: Interest,
    ) -> io::Result<()> {
        match (before.is_empty(), interest.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => register::add(&self.poller, socket, index, interest),
            (false, false) => register::modify(&self.poller, socket, index, interest),
            (false, true) => register::delete(&self.poller, socket),
        }
    }

    /// Waits until a source is ready, somebody notifies, or it is time, and tells `ready` of each source
    /// that is. It was `now` not long ago; `clock` is read only where that is not good enough.
    pub(crate) fn wait(
        &mut self,
        until: Until,
        now: Instant,
        clock: impl Fn() -> Instant,
        mut ready: impl FnMut(usize, Readiness),
    ) -> io::Result<Waited> {
        if !self.busy_poll.is_zero() && until != Until::Now {
            let end = clock() + self.busy_poll;
            let end = if let Until::At(deadline) = until { end.min(deadline) } else { end };
            while clock() < end {
                let waited = self.backend.wait(&self.poller, Until::Now, now, &clock, &mut ready)?;
                if waited.any {
                    return Ok(waited);
                }
            }
        }
        self.backend.wait(&self.poller, until, now, &clock, &mut ready)
    }
}
