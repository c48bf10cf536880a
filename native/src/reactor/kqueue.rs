//! The kqueue backend, for macOS and the BSDs.
//!
//! On Linux, the backend runs in CI too: on an emulation of the calls that it makes (`--cfg sinbin_kqueue`) and, if
//! available, on libkqueue (with `--cfg sinbin_libkqueue` in addition). See `.ci/reactors`.
//!
//! A pair of sockets ends a wait. A user event would need one descriptor less. But some systems do not support user
//! events, and systems differ in how to trigger and clear them at the same time.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use sinbin_core::{Instant, Interest, Readiness};

use super::Wake;
use super::wait::System;
use crate::sockets::Socket;

#[cfg(all(target_os = "linux", not(sinbin_libkqueue)))]
#[path = "kqueue/emulated.rs"]
mod queue;
#[cfg(not(all(target_os = "linux", not(sinbin_libkqueue))))]
#[path = "kqueue/native.rs"]
mod queue;

use self::queue::{Buffer, Queue};

/// False: only a broken connection is reported as [`Interest::HANGUP`].
pub(crate) const REPORTS_END: bool = false;

/// The key of the waker. No source has this key.
pub(super) const WAKER: usize = usize::MAX;

/// The longest timeout. Some systems reject a timeout of years, and a wait may end early.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The filters of a descriptor that the backend uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filter {
    Read,
    Write,
}

/// The new state of a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// Level-triggered, reported under this key.
    Level(usize),
    /// Edge-triggered, reported under this key.
    Edge(usize),
    /// Not reported.
    Delete,
}

/// An event of a descriptor, as reported by a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) key: usize,
    pub(super) filter: Filter,
    /// True if this direction has ended: no more bytes will arrive, or no more can be sent.
    pub(super) is_over: bool,
    /// True if the connection is broken.
    pub(super) is_broken: bool,
}

impl Event {
    /// Returns true if the event is edge-triggered ([`Action::Edge`]), so that it is reported only once.
    fn is_edge(&self) -> bool {
        self.key & 1 == 0
    }
}

/// The system calls of the backend.
pub(super) trait Calls {
    /// Waits for at most `timeout`, and finds at most [`room`](Self::room) events.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Returns the capacity for events of the last wait.
    fn room(&self) -> usize;

    /// Increases the capacity for events.
    fn grow(&mut self);

    /// Iterates over the events that the last wait found.
    fn found(&self) -> impl Iterator<Item = Event>;

    /// Receives the bytes that the waker has sent.
    fn clear_waker(&mut self);
}

pub(super) struct Backend<C = Kqueue> {
    calls: C,
    /// Edge-triggered events of waits that found more events than they had capacity for. Such events are reported once,
    /// so the next wait would not find them again.
    once: Vec<Event>,
}

impl Backend {
    /// Creates a backend whose waits have an initial capacity of `room` events, with its waker and its registry.
    pub(super) fn new(room: usize) -> io::Result<(Self, Waker, Registry)> {
        let queue = Arc::new(Queue::new()?);
        let waker = Waker::new()?;
        queue.change(waker.0.1.as_fd(), &[(Filter::Read, Action::Level(WAKER))])?;
        let registry = Registry(Arc::clone(&queue));
        let calls = Kqueue { queue, waker: waker.clone(), buffer: Buffer::new(room) };
        Ok((Self::with(calls), waker, registry))
    }
}

impl<C: Calls> Backend<C> {
    pub(super) const fn with(calls: C) -> Self {
        Self { calls, once: Vec::new() }
    }
}

impl<C: Calls> System for Backend<C> {
    fn timeout(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>> {
        Ok(Some(deadline.since(clock()).min(LONGEST)))
    }

    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.calls.wait(timeout)?;
        let is_full = self.calls.found().count() >= self.calls.room();
        if is_full {
            self.once.extend(self.calls.found().filter(|event| event.is_edge()));
            self.calls.grow();
        }
        Ok(is_full)
    }

    fn tell(&mut self, ready: &mut impl FnMut(usize, Readiness)) -> usize {
        let mut woken = false;
        let mut count = 0;
        for event in self.once.drain(..).chain(self.calls.found()) {
            if event.key == WAKER {
                woken = true;
            } else if let Some((index, readiness)) = readiness(event) {
                ready(index, readiness);
                count += 1;
            }
        }
        if woken {
            self.calls.clear_waker();
        }
        count
    }
}

/// Ends a wait by sending a byte from one socket to the other. This struct owns both sockets, so that neither is closed
/// before the last byte was sent.
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<(UnixStream, UnixStream)>);

impl Waker {
    fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self(Arc::new((sender, receiver))))
    }
}

impl Wake for Waker {
    fn wake(&self) {
        // If the buffer of the socket is full, the bytes in it wake the loop.
        rustix::io::retry_on_intr(|| rustix::io::write(&self.0.0, &[0])).ok();
    }
}

/// The real system.
pub(super) struct Kqueue {
    queue: Arc<Queue>,
    waker: Waker,
    buffer: Buffer,
}

impl Calls for Kqueue {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.queue.wait(&mut self.buffer, timeout)
    }

    fn room(&self) -> usize {
        self.buffer.room()
    }

    fn grow(&mut self) {
        self.buffer = Buffer::new(self.buffer.room() * 2);
    }

    fn found(&self) -> impl Iterator<Item = Event> {
        self.buffer.events()
    }

    fn clear_waker(&mut self) {
        // Several wakes before one wait send a single byte. If there are more bytes, the next wait finds them.
        rustix::io::read(&self.waker.0.1, &mut [0; 64]).ok();
    }
}

/// The kqueue of one reactor, with which sources are registered.
#[derive(Clone, Debug)]
pub(crate) struct Registry(Arc<Queue>);

impl Registry {
    /// Changes the interest for which the socket is watched from `before` to `interest`.
    pub(crate) fn change(
        &self,
        socket: &Socket,
        index: usize,
        before: Interest,
        interest: Interest,
    ) -> io::Result<()> {
        let mut changes = Vec::with_capacity(4);
        for filter in [Filter::Read, Filter::Write] {
            let (before, after) = (action(filter, index, before), action(filter, index, interest));
            // A change of an existing filter would not switch it between level- and edge-triggered, so the filter is
            // deleted first.
            if before != Action::Delete && before != after {
                changes.push((filter, Action::Delete));
            }
            if after != Action::Delete && before != after {
                changes.push((filter, after));
            }
        }
        self.0.change(socket.descriptor(), &changes)
    }
}

impl Registry {
    /// Reports each change of the descriptor's readiness once, in both directions, until it is closed.
    pub(crate) fn watch_changes(&self, descriptor: BorrowedFd<'_>, index: usize) -> io::Result<()> {
        // The key is that of a wanted event. Such an event would be lost if a wait found more events than it has
        // capacity for, so the reactor of a watcher has capacity for all.
        let action = Action::Edge(index << 1 | 1);
        self.0.change(descriptor, &[(Filter::Read, action), (Filter::Write, action)])
    }

    /// Stops reporting a descriptor that is about to be closed. A kqueue forgets closed descriptors by itself.
    pub(crate) fn forget(&self, _: BorrowedFd<'_>) {}
}

/// Returns the action for a filter of a source that is watched for `interest`. Every filter reports a broken
/// connection. If the interest is only [`Interest::HANGUP`], the read filter is edge-triggered, so that pending input
/// is reported only once.
fn action(filter: Filter, index: usize, interest: Interest) -> Action {
    let (recv, send) = (interest.contains(Interest::RECV), interest.contains(Interest::SEND));
    match filter {
        Filter::Read if recv => Action::Level(index << 1 | 1),
        Filter::Read if !send && !interest.is_empty() => Action::Edge(index << 1),
        Filter::Write if send => Action::Level(index << 1 | 1),
        Filter::Read | Filter::Write => Action::Delete,
    }
}

/// Returns the index of the event's source and its readiness, or `None` if the event is not of interest.
fn readiness(event: Event) -> Option<(usize, Readiness)> {
    let is_wanted = !event.is_edge();
    let (told, is_gone) = match event.filter {
        // The end of the input counts as readiness to receive.
        Filter::Read => (Interest::RECV, event.is_broken),
        Filter::Write => (Interest::SEND, event.is_over),
    };
    let told = if is_wanted { told } else { Interest::NONE };
    let readiness = if is_gone { told | Interest::HANGUP } else { told };
    (!readiness.is_empty()).then_some((event.key >> 1, readiness))
}
