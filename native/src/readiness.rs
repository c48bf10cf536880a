//! Readiness of descriptors for hosts whose programs ask for it, such as a host of WASI.
//!
//! A [`Server`](crate::Server) reports a ready socket to the task that waits for it. A program of WASI instead passes the
//! list of all that it waits for, each time that it waits. A [`Watcher`] therefore reports each *change* of a descriptor
//! once. Its host stores the readiness, and clears it when an operation finds that there is nothing more to read, or no
//! capacity to write. No system call asks for readiness again.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use sinbin_core::{Instant, Readiness};

use crate::clock::Clock;
use crate::reactor::{REPORTS_END, Reactor, Registry};

pub use crate::reactor::{Notifier, Until};

/// The number of events of the reactor itself: its waker and its alarm. One more must fit, since a wait that fills its
/// whole capacity may have missed events.
const OWN: usize = 3;

/// The maximum number of events of a descriptor in one wait: one for each direction, on some systems.
const PER_DESCRIPTOR: usize = 2;

/// A watcher of descriptors, which reports each change of their readiness once.
///
/// ```
/// use std::io::Write;
/// use std::os::fd::AsFd;
/// use std::os::unix::net::UnixStream;
///
/// use sinbin::Interest;
/// use sinbin::readiness::{Until, Watcher};
///
/// let (mut ours, theirs) = UnixStream::pair()?;
/// let mut watcher = Watcher::new(16)?;
/// watcher.add(theirs.as_fd(), 7)?;
/// ours.write_all(b"x")?;
/// // Some systems report each direction on its own.
/// let mut readiness = Interest::NONE;
/// while readiness != Interest::RECV | Interest::SEND {
///     watcher.wait(Until::Ever, |key, change| {
///         assert_eq!(key, 7);
///         readiness = readiness | change;
///     })?;
/// }
/// // The byte was not read, but nothing has changed.
/// watcher.wait(Until::Now, |_, _| unreachable!())?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Watcher {
    reactor: Reactor,
    registry: Registry,
    clock: Clock,
    capacity: usize,
    watched: usize,
}

impl Watcher {
    /// True if the end of the input is reported as [`Interest::HANGUP`](crate::Interest::HANGUP) together with the last
    /// bytes. Otherwise, only a read that would block proves that there is nothing more to read.
    pub const REPORTS_END: bool = REPORTS_END;

    /// Creates a watcher of up to `capacity` descriptors. It allocates 24 bytes for each, which the system provides when
    /// they are first used.
    ///
    /// # Errors
    ///
    /// Fails if the system provides no poller.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let events = capacity.saturating_mul(PER_DESCRIPTOR).saturating_add(OWN);
        let reactor = Reactor::with_capacity(Duration::ZERO, events)?;
        let registry = reactor.registry();
        Ok(Self { reactor, registry, clock: Clock::start(), capacity, watched: 0 })
    }

    /// Watches a descriptor, whose changes are reported with `key`. Its current readiness is reported as a change.
    ///
    /// The descriptor should be nonblocking, and must be passed to [`remove`](Self::remove) before it is closed.
    ///
    /// # Errors
    ///
    /// Fails with `OutOfMemory` if the watcher is full, with `PermissionDenied` if the descriptor is always ready, such
    /// as that of a regular file, and with the system's error.
    pub fn add(&mut self, descriptor: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        // More events than the capacity of a wait would be lost.
        if self.watched >= self.capacity {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.registry.watch_changes(descriptor, key)?;
        self.watched += 1;
        Ok(())
    }

    /// Stops watching a descriptor, which must then be closed.
    pub fn remove(&mut self, descriptor: BorrowedFd<'_>) {
        self.registry.forget(descriptor);
        self.watched = self.watched.saturating_sub(1);
    }

    /// Waits until the readiness of a descriptor changes, a notification arrives, or the deadline passes, and calls
    /// `changed` with the key and the readiness of each changed descriptor. Returns true if there was a notification. A
    /// wait may end early and report nothing.
    ///
    /// # Errors
    ///
    /// Fails if the system cannot wait.
    #[inline]
    pub fn wait(&mut self, until: Until, changed: impl FnMut(usize, Readiness)) -> io::Result<bool> {
        let clock = self.clock;
        self.reactor.wait(until, || clock.now(), changed)
    }

    /// Returns the time since the watcher was created, by the clock of its deadlines.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Returns the system's monotonic clock at the creation of the watcher in nanoseconds, or 0 if that is not known.
    pub(crate) fn clock_zero(&self) -> u64 {
        self.clock.zero()
    }

    /// Returns a handle that ends a wait from another thread.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        self.reactor.notifier()
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use sinbin_core::Interest;

    use super::*;

    fn changes(watcher: &mut Watcher) -> Vec<(usize, Readiness)> {
        let mut changes = Vec::new();
        watcher.wait(Until::Now, |key, readiness| changes.push((key, readiness))).expect("a wait");
        changes
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("a nonblocking socket");
        (ours, theirs)
    }

    #[test]
    fn each_change_is_reported_once() {
        let mut watcher = Watcher::new(1).expect("a watcher");
        let (mut ours, mut theirs) = pair();
        watcher.add(theirs.as_fd(), 3).expect("capacity");
        assert!(
            changes(&mut watcher).iter().all(|(key, readiness)| *key == 3 && *readiness == Interest::SEND)
        );
        for _ in 0..3 {
            ours.write_all(b"x").expect("capacity");
            assert!(changes(&mut watcher).iter().any(|(_, readiness)| readiness.contains(Interest::RECV)));
            assert_eq!(changes(&mut watcher), []);
            theirs.read_exact(&mut [0]).expect("a byte");
        }
        drop(ours);
        assert!(!changes(&mut watcher).is_empty(), "the end is a change");
    }

    /// A read of fewer bytes than requested proves nothing if the end of the input came with them.
    #[test]
    fn the_end_is_reported_with_the_last_bytes() {
        let mut watcher = Watcher::new(1).expect("a watcher");
        let (mut ours, theirs) = pair();
        watcher.add(theirs.as_fd(), 0).expect("capacity");
        changes(&mut watcher);
        ours.write_all(b"x").expect("capacity");
        drop(ours);
        let ended = changes(&mut watcher).iter().any(|(_, readiness)| readiness.contains(Interest::HANGUP));
        assert!(ended || !Watcher::REPORTS_END);
    }

    /// Changes that did not fit into the events of a wait would be lost.
    #[test]
    fn a_wait_finds_all_changes_and_a_full_watcher_says_so() {
        const MANY: usize = 200;
        let mut watcher = Watcher::new(MANY).expect("a watcher");
        let pairs: Vec<_> = (0..MANY).map(|_| pair()).collect();
        for (index, (_, theirs)) in pairs.iter().enumerate() {
            watcher.add(theirs.as_fd(), index).expect("capacity");
        }
        let (_ours, theirs) = pair();
        let full = watcher.add(theirs.as_fd(), MANY).expect_err("a full watcher");
        assert_eq!(full.kind(), io::ErrorKind::OutOfMemory);
        changes(&mut watcher);
        for (ours, _) in &pairs {
            (&mut &*ours).write_all(b"x").expect("capacity");
        }
        let mut found = [false; MANY];
        for (key, _) in changes(&mut watcher) {
            found[key] = true;
        }
        assert!(found.iter().all(|found| *found));
        watcher.remove(pairs[0].1.as_fd());
        assert!(watcher.add(theirs.as_fd(), MANY).is_ok());
    }

    #[test]
    fn a_regular_file_is_not_watched() {
        let mut watcher = Watcher::new(1).expect("a watcher");
        let file = std::fs::File::open("/dev/null").expect("a file");
        assert!(watcher.add(file.as_fd(), 0).is_err());
    }
}
