//! Readiness from the operating system: which sources are watched, and what is so of them.
//!
//! A backend is a system's way to register sources, to wait for them, and to be woken: epoll on Linux, kqueue on macOS and
//! the BSDs, each with one system call for a wait, and `polling` elsewhere. All of them keep one contract, which is tested
//! on a model of the system as well; the part of it that does not depend on the system is in `reactor/wait.rs`.
//!
//! - A deadline that has passed is never waited for, whatever the caller believed the time to be: the clock decides, and
//!   the wait only looks.
//! - A wait that only looks is complete: each source that was ready when it was called is reported, however many there
//!   are, and a signal does not cut it short. A wait that may block may end early, with nothing to report; what it reports
//!   is complete as well.
//! - A notification ends the wait that is under way, or the next one; many before one wait count as one, and the waits
//!   after it are as long as they were asked to be.
//! - Busy polling ends with a source that is ready, a notification, its span or the deadline, whichever is first.

#[cfg(all(target_os = "linux", any(test, not(any(sinbin_kqueue, sinbin_portable)))))]
mod epoll;
// On Linux the backend for kqueue is used where it is asked for, and by tests.
#[cfg(any(
    all(target_os = "linux", any(test, sinbin_kqueue)),
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
))]
#[cfg_attr(sinbin_portable, allow(dead_code))]
mod kqueue;
// The portable backend compiles everywhere, and is used where there is nothing better, or where it is asked for.
#[allow(dead_code)]
mod portable;
#[allow(dead_code)]
mod register;
mod wait;

cfg_select! {
    sinbin_portable => { use self::portable as backend; }
    any(
        sinbin_kqueue,
        target_vendor = "apple",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
    ) => { use self::kqueue as backend; }
    target_os = "linux" => { use self::epoll as backend; }
    _ => { use self::portable as backend; }
}

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sinbin_core::{Instant, Readiness};

pub(crate) use self::backend::Registry;

// How often the loops of this thread have waited.
#[cfg(test)]
std::thread_local! {
    static WAITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Events that one wait has room for at first.
const BATCH: usize = 1024;

/// Wakes a reactor that waits, from any thread.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Notice<backend::Waker>>);

impl Notifier {
    /// Ends the current or the next wait. Many before one wait count as one. May be called in a signal handler.
    pub fn notify(&self) {
        self.0.notify();
    }
}

/// How a system's wait is ended from elsewhere.
trait Wake {
    /// Ends the current or the next wait. Must be safe in a signal handler: no lock, no allocation, no log.
    fn wake(&self);
}

/// A waker, and whether it was used since the last wait.
#[derive(Debug)]
struct Notice<W> {
    waker: W,
    notified: AtomicBool,
}

impl<W: Wake> Notice<W> {
    fn notify(&self) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    fn take(&self) -> bool {
        // The swap alone would do, but costs a bus lock each time.
        self.notified.load(Ordering::Relaxed) && self.notified.swap(false, Ordering::AcqRel)
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
    waiting: Waiting<backend::Backend, backend::Waker>,
    registry: Registry,
}

impl Reactor {
    /// A reactor that, before it blocks, looks again and again for `busy_poll`.
    ///
    /// # Errors
    ///
    /// When the system gives no poller.
    pub fn new(busy_poll: Duration) -> io::Result<Self> {
        let (backend, waker, registry) = backend::Backend::new(BATCH)?;
        Ok(Self { waiting: Waiting::new(backend, waker, busy_poll), registry })
    }

    /// What wakes it.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier(Arc::clone(&self.waiting.notice))
    }

    /// Returns the registry, where sources are registered.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Waits until a source is ready, somebody notifies, or it is time, and tells `ready` of each source
    /// that is. Returns true if somebody notified. A wait that may block may end early, with nothing; with
    /// [`Until::Now`], or a deadline that has passed by `clock`, it does not block, and every source that is ready is
    /// reported. `clock` is read only where that is needed. It must go as the system's monotonic clock does.
    ///
    /// # Errors
    ///
    /// When the system can't wait.
    #[inline]
    pub fn wait(
        &mut self,
        until: Until,
        clock: impl Fn() -> Instant,
        ready: impl FnMut(usize, Readiness),
    ) -> io::Result<bool> {
        self.waiting.wait(until, clock, ready)
    }
}

/// Waits by a backend, after some busy polling.
struct Waiting<B, W> {
    backend: B,
    notice: Arc<Notice<W>>,
    busy_poll: Duration,
}

impl<B: wait::System, W: Wake> Waiting<B, W> {
    fn new(backend: B, waker: W, busy_poll: Duration) -> Self {
        let notice = Arc::new(Notice { waker, notified: AtomicBool::new(false) });
        Self { backend, notice, busy_poll }
    }

    #[inline]
    fn wait(
        &mut self,
        until: Until,
        clock: impl Fn() -> Instant,
        mut ready: impl FnMut(usize, Readiness),
    ) -> io::Result<bool> {
        #[cfg(test)]
        WAITS.set(WAITS.get() + 1);
        if !self.busy_poll.is_zero() && until != Until::Now {
            let end = clock() + self.busy_poll;
            let end = if let Until::At(deadline) = until { end.min(deadline) } else { end };
            while clock() < end {
                let count = wait::wait(&mut self.backend, Until::Now, &clock, &mut ready)?;
                let notified = self.notice.take();
                if count > 0 || notified {
                    return Ok(notified);
                }
            }
        }
        wait::wait(&mut self.backend, until, &clock, &mut ready)?;
        Ok(self.notice.take())
    }
}
