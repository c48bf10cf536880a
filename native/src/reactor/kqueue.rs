//! Waiting by kqueue, on macOS and the BSDs.
//!
//! The backend runs in CI as well, on Linux: over an emulation of the few calls that are made (`--cfg sinbin_kqueue`)
//! and, where it can be had, over libkqueue (`--cfg sinbin_libkqueue` besides); see `.ci/reactors`.
//!
//! A pair of sockets ends a wait. A user event would do so with one descriptor less, but not every system has them, and
//! how they are triggered and cleared together differs.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::fd::AsFd;
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

/// The key of the waker. No source has it.
pub(super) const WAKER: usize = usize::MAX;

/// The longest timeout: not every system takes one of years, and a wait may end early.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The states of a descriptor that a queue can be asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filter {
    Read,
    Write,
}

/// How a filter of a descriptor is to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// Reported under this key as long as it is so.
    Level(usize),
    /// Reported under this key each time that it becomes so.
    Edge(usize),
    /// Not reported.
    Delete,
}

/// The state of a descriptor, as a wait reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) key: usize,
    pub(super) filter: Filter,
    /// Nothing comes any more, or can be sent any more.
    pub(super) is_over: bool,
    /// The connection is broken.
    pub(super) is_broken: bool,
}

impl Event {
    /// Returns true if the event is reported once, under [`Action::Edge`], and not for as long as it is so.
    fn is_edge(&self) -> bool {
        self.key & 1 == 0
    }
}

/// The system calls of the backend.
pub(super) trait Calls {
    /// Waits for so long at the most, and finds no more events than there is room for.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Returns how many events the last wait had room for.
    fn room(&self) -> usize;

    /// Makes more room.
    fn grow(&mut self);

    /// Iterates over the events that the last wait found.
    fn found(&self) -> impl Iterator<Item = Event>;

    /// Takes back what the waker has sent.
    fn clear_waker(&mut self);
}

pub(super) struct Backend<C = Kqueue> {
    calls: C,
    /// Events of a wait without room for all that was ready. The next wait would not find these again: they are told once.
    once: Vec<Event>,
}

impl Backend {
    /// Creates a backend whose waits have room for so many events at first, with its waker and its registry.
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

/// Ends a wait by a byte from one socket to the other. Both are kept here, so that none is ever closed before the last
/// byte was sent.
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
        // Where there is no room for a byte, there are some to wake the loop.
        rustix::io::retry_on_intr(|| rustix::io::write(&self.0.0, &[0])).ok();
    }
}

/// The system as it is.
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
        // Many wakes before one wait are one byte; where there were more, the next wait finds them.
        rustix::io::read(&self.waker.0.1, &mut [0; 64]).ok();
    }
}

/// Where sources are registered: the queue of one reactor.
#[derive(Clone, Debug)]
pub(crate) struct Registry(Arc<Queue>);

impl Registry {
    /// Watches the socket for `interest`, where it was watched for `before`.
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
            // Changing a filter that is there would leave it level- or edge-triggered as it was.
            if before != Action::Delete && before != after {
                changes.push((filter, Action::Delete));
            }
            if after != Action::Delete && before != after {
                changes.push((filter, after));
            }
        }
        match socket {
            Socket::Listener(listener) => self.0.change(listener.as_fd(), &changes),
            Socket::Stream(stream) => self.0.change(stream.as_fd(), &changes),
        }
    }
}

/// Returns the action for a filter of a source that is watched for `interest`. A broken connection is reported with
/// every filter. Where that alone is of interest, bytes that come in are reported once, and not for as long as they are
/// there.
fn action(filter: Filter, index: usize, interest: Interest) -> Action {
    let (recv, send) = (interest.contains(Interest::RECV), interest.contains(Interest::SEND));
    match filter {
        Filter::Read if recv => Action::Level(index << 1 | 1),
        Filter::Read if !send && !interest.is_empty() => Action::Edge(index << 1),
        Filter::Write if send => Action::Level(index << 1 | 1),
        Filter::Read | Filter::Write => Action::Delete,
    }
}

/// Returns which source the event is of, and what the source is ready for; nothing, where nobody wants to know.
fn readiness(event: Event) -> Option<(usize, Readiness)> {
    let is_wanted = !event.is_edge();
    let (told, is_gone) = match event.filter {
        // That nothing comes any more is something to receive.
        Filter::Read => (Interest::RECV, event.is_broken),
        Filter::Write => (Interest::SEND, event.is_over),
    };
    let told = if is_wanted { told } else { Interest::NONE };
    let readiness = if is_gone { told | Interest::HANGUP } else { told };
    (!readiness.is_empty()).then_some((event.key >> 1, readiness))
}
