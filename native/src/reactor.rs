//! Readiness of watched sources, as reported by the operating system.
//!
//! A backend implements a system's way to register sources, to wait for them, and to be woken: epoll on Linux, kqueue
//! on macOS and the BSDs (both with one system call per wait), and `polling` elsewhere. All backends fulfill one
//! contract, which is also tested on a model of the system. The system-independent part of the contract is implemented
//! in `reactor/wait.rs`.
//!
//! - A deadline that has passed is never waited for, whatever time the caller assumed. The clock decides, and the call
//!   only polls.
//! - A call that only polls is complete: each source that was ready when it was called is reported, whatever their
//!   number, and a signal does not cut it short. A call that may block may end early and report nothing. If it reports
//!   sources, it reports all that are ready.
//! - A notification ends the current wait, or else the next one. Several notifications before a wait count as one. They
//!   do not shorten later waits.
//! - Busy polling ends at the first ready source, notification, end of its span, or deadline.

#[cfg(all(target_os = "linux", any(test, not(any(sinbin_kqueue, sinbin_portable)))))]
#[cfg_attr(test, allow(dead_code))]
mod epoll;
// On Linux, the kqueue backend is used if requested, and by tests.
#[cfg(any(
    all(target_os = "linux", any(test, sinbin_kqueue)),
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
))]
#[cfg_attr(any(test, sinbin_portable), allow(dead_code))]
mod kqueue;
// The portable backend compiles everywhere. It is used if requested, and on systems without another backend.
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

#[cfg(unix)]
pub(crate) use self::backend::REPORTS_END;
pub(crate) use self::backend::Registry;

// The number of waits of the current thread's loops.
#[cfg(test)]
std::thread_local! {
    static WAITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The initial capacity for events of one wait.
const BATCH: usize = 1024;

/// A handle that wakes a waiting reactor, from any thread.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Notice<backend::Waker>>);

impl Notifier {
    /// Ends the current or the next wait. Several calls before a wait count as one. This method is safe in a signal
    /// handler.
    pub fn notify(&self) {
        self.0.notify();
    }
}

/// A way to end the system's wait from another thread.
trait Wake {
    /// Ends the current or the next wait. Must be safe in a signal handler: no lock, no allocation, no logging.
    fn wake(&self);
}

/// A waker, and a flag that is set if it was used since the last wait.
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
        // The swap alone would be sufficient, but costs a bus lock each time.
        self.notified.load(Ordering::Relaxed) && self.notified.swap(false, Ordering::AcqRel)
    }
}

/// The limit of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Do not wait, only poll.
    Now,
    /// Wait until this time at the latest. The wait may end early.
    At(Instant),
    /// Wait without a limit.
    Ever,
}

/// Reports which sources are ready, level-triggered, by the indexes of their ids.
pub struct Reactor {
    waiting: Waiting<backend::Backend, backend::Waker>,
    registry: Registry,
}

impl Reactor {
    /// Creates a reactor that polls for `busy_poll` before it blocks.
    ///
    /// # Errors
    ///
    /// Fails if the system provides no poller.
    pub fn new(busy_poll: Duration) -> io::Result<Self> {
        Self::with_capacity(busy_poll, BATCH)
    }

    /// Creates a reactor like [`new`](Self::new), whose waits find up to `events` events at once before their capacity
    /// grows.
    ///
    /// # Errors
    ///
    /// Fails if the system provides no poller.
    pub(crate) fn with_capacity(busy_poll: Duration, events: usize) -> io::Result<Self> {
        let (backend, waker, registry) = backend::Backend::new(events)?;
        Ok(Self { waiting: Waiting::new(backend, waker, busy_poll), registry })
    }

    /// Returns a handle that wakes the reactor.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier(Arc::clone(&self.waiting.notice))
    }

    /// Returns the registry, with which sources are registered.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Waits until a source is ready, a notification arrives, or the deadline passes, and calls `ready` for each ready
    /// source. Returns true if there was a notification. A wait that may block may end early and report nothing. With
    /// [`Until::Now`], or with a deadline that has passed by `clock`, the call does not block and reports every ready
    /// source. `clock` is read only if necessary. It must advance like the system's monotonic clock.
    ///
    /// # Errors
    ///
    /// Fails if the system cannot wait.
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

/// A backend, with busy polling before each wait.
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
