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

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polling::Poller;
use sinbin_core::{Instant, Readiness};

/// Wakes a reactor that waits, from any thread.
#[derive(Clone, Debug)]
pub struct Notifier {
    poller: Arc<Poller>,
    /// Since the last wait; `polling` does not tell.
    notified: Arc<AtomicBool>,
}

impl Notifier {
    /// Ends the current or the next wait. Many before one wait count as one.
    pub fn notify(&self) {
        self.notified.store(true, Ordering::Release);
        // An eventfd or pipe that cannot be written to is one that is full: the loop will wake. Nothing is
        // logged, since this may run in a signal handler.
        self.poller.notify().ok();
    }

    fn take(&self) -> bool {
        // The swap alone would do, but costs a bus lock each time.
        self.notified.load(Ordering::Relaxed) && self.notified.swap(false, Ordering::Acquire)
    }
}

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Not at all: just look.
    Now,
    /// Until then. A wait may end early.
    At(Instant),
    /// For as long as it takes.
    Ever,
}

/// Tells which sources are ready, level-triggered, under the index of their id.
pub struct Reactor {
    notifier: Notifier,
    backend: backend::Backend,
    busy_poll: Duration,
}

impl Reactor {
    /// A reactor that, before it blocks, looks again and again for `busy_poll`.
    ///
    /// # Errors
    ///
    /// When the system gives no poller.
    pub fn new(busy_poll: Duration) -> io::Result<Self> {
        let poller = Poller::new()?;
        let backend = backend::Backend::new(&poller)?;
        let notifier = Notifier { poller: Arc::new(poller), notified: Arc::default() };
        Ok(Self { notifier, backend, busy_poll })
    }

    /// What wakes it.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Where sources are registered.
    pub(crate) fn poller(&self) -> Arc<Poller> {
        Arc::clone(&self.notifier.poller)
    }

    /// Waits until a source is ready, somebody notifies, or it is time, and tells `ready` of each source
    /// that is. Whether somebody notified. It was `now` not long ago; `clock` is read only where that is not
    /// good enough.
    ///
    /// # Errors
    ///
    /// When the system can't wait.
    pub fn wait(
        &mut self,
        until: Until,
        now: Instant,
        clock: impl Fn() -> Instant,
        mut ready: impl FnMut(usize, Readiness),
    ) -> io::Result<bool> {
        let poller = &self.notifier.poller;
        if !self.busy_poll.is_zero() && until != Until::Now {
            let end = clock() + self.busy_poll;
            let end = if let Until::At(deadline) = until { end.min(deadline) } else { end };
            while clock() < end {
                let count = self.backend.wait(poller, Until::Now, now, &clock, &mut ready)?;
                let notified = self.notifier.take();
                if count > 0 || notified {
                    return Ok(notified);
                }
            }
        }
        self.backend.wait(poller, until, now, &clock, &mut ready)?;
        Ok(self.notifier.take())
    }
}
