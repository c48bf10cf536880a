//! The guest's I/O: its sources, the watcher of their readiness, and all waiting.
//!
//! The guest and its host share one thread. A call that blocks waits in [`Io::wait`], which also notices the request to
//! stop, and ends the guest when its time to drain has expired.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, recv};
use sinbin::Instant;
use sinbin::observe::PollNotes;
use sinbin::readiness::{Until, Watcher};
use wasmtime::{Error, Result};

use super::leaving::Leaving;
use super::lookup::Lookups;
use super::network::Network;
use super::poll::Pollable;
use super::slots::Slots;
use super::sources::{Kind, Most, Part, Ready, Released, STOP, Source, Sources};
use super::stdio::Stdio;
use super::stopper::Stopping;
use super::tasks::{Direction, Tasks};

/// The number of operations without a result after which the system is asked for changes. A guest that tries its sockets
/// in turn, and never polls, would otherwise learn of none.
const TRIES: u32 = 64;

/// The time that the host adds to the guest's own drain timeout.
const GRACE: Duration = Duration::from_secs(1);

/// The time that the host waits, after the guest has ended, for peers to receive the bytes that it holds back.
const LINGER: Duration = Duration::from_secs(1);

/// The pause after an accept that failed for lack of descriptors or memory.
const RETRY: Duration = Duration::from_millis(100);

/// The reason why the host has ended the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The guest did not end within the drain timeout.
    #[error("the guest did not end within the drain timeout")]
    Cut,
    /// The guest was requested to stop, and waits for listeners only.
    #[error("the guest was requested to stop, and has no more connections")]
    Drained,
}

/// The I/O of a guest.
pub(super) struct Io {
    watcher: Watcher,
    pub(super) sources: Sources,
    pub(super) pollables: Slots<Pollable>,
    pub(super) network: Network,
    pub(super) stdio: Stdio,
    pub(super) lookups: Lookups,
    pub(super) tasks: Tasks,
    /// The notes for other processes, if they may look at the guest.
    pub(super) notes: Option<Box<PollNotes>>,
    /// The number of resources that the guest holds, and the maximum.
    pub(super) handles: usize,
    pub(super) max_handles: usize,
    /// The index at which the answer of the next poll begins.
    pub(super) next: usize,
    /// The number of operations without a result since the last one with a result.
    tries: u32,
    stop: OwnedFd,
    drain_timeout: Option<Duration>,
    /// True if the guest was requested to stop.
    pub(super) is_stopping: bool,
    /// The time at which the guest is ended.
    end: Instant,
    leaving: Leaving,
    /// The time at which listeners accept again, if they pause.
    accept_at: Instant,
}

impl Io {
    /// Creates the I/O of a guest without sources.
    pub(super) fn new(
        most: Most,
        max_handles: usize,
        network: Network,
        stdio: Stdio,
        stopping: Stopping,
        drain_timeout: Option<Duration>,
    ) -> io::Result<Self> {
        let descriptors = most.sockets.saturating_add(most.listeners).saturating_add(3);
        let mut watcher = Watcher::new(descriptors)?;
        let stop = stopping.into_socket();
        watcher.add(stop.as_fd(), STOP)?;
        let lookups = Lookups::new(watcher.notifier());
        Ok(Self {
            watcher,
            sources: Sources::new(most),
            pollables: Slots::new(),
            network,
            stdio,
            lookups,
            tasks: Tasks::default(),
            notes: None,
            handles: 0,
            max_handles,
            next: 0,
            tries: 0,
            stop,
            drain_timeout,
            is_stopping: false,
            end: Instant::NEVER,
            leaving: Leaving::default(),
            accept_at: Instant::NEVER,
        })
    }

    /// Counts a new resource of the guest.
    ///
    /// # Errors
    ///
    /// Traps if the guest has too many.
    pub(super) fn count(&mut self, new: usize) -> Result<()> {
        self.handles += new;
        if self.handles > self.max_handles {
            // Tasks may have dropped some in this turn.
            self.settle();
        }
        if self.handles > self.max_handles {
            return Err(Error::msg(format!(
                "the guest holds {} resources, but is limited to {}",
                self.handles, self.max_handles
            )));
        }
        Ok(())
    }

    /// Counts a resource that the guest has dropped.
    pub(super) fn uncount(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    /// Stores a source, and returns its index.
    pub(super) fn insert(&mut self, source: Source) -> Result<u32> {
        self.sources
            .insert(source)
            .map(|place| place.index)
            .ok_or_else(|| Error::msg("there are too many sources"))
    }

    /// Watches a source from now on. A source whose descriptor can't be watched, such as a regular file, is always ready.
    pub(super) fn watch(&mut self, index: u32) -> Result<()> {
        let Self { watcher, sources, .. } = self;
        let source = sources.of(index)?;
        match watcher.add(source.descriptor.as_fd(), index as usize) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                source.ready = Ready::INPUT.and(Ready::OUTPUT);
                Ok(())
            }
            Err(error) => Err(Error::from(error).context("cannot watch a descriptor of the guest")),
        }
    }

    /// Watches a descriptor that is no source. Returns false if that is not possible.
    pub(super) fn watch_other(&mut self, descriptor: BorrowedFd<'_>, key: usize) -> bool {
        self.watcher.add(descriptor, key).is_ok()
    }

    /// Returns the watcher, whose clock is that of the guest.
    pub(super) fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Returns the socket whose end requests the guest to stop.
    pub(super) fn stop_socket(&self) -> &OwnedFd {
        &self.stop
    }

    /// Drops a handle of a source, and closes the source with its last handle, once its bytes are sent.
    pub(super) fn release(&mut self, index: u32, handle: u8) {
        self.uncount();
        match self.sources.release(index, handle) {
            Released::Closed(source) => {
                self.close(&source);
                // A listener may wait for the capacity.
                self.tasks.wake_rare();
            }
            Released::Leaving(place, unsent) => self.leaving.add(place, unsent, self.now()),
            Released::Held => {}
        }
    }

    fn close(&mut self, source: &Source) {
        self.watcher.remove(source.descriptor.as_fd());
    }

    /// Returns the current time.
    #[inline]
    pub(super) fn now(&self) -> Instant {
        self.watcher.now()
    }

    /// Asks the system for changes, without waiting.
    ///
    /// # Errors
    ///
    /// Fails if the guest is to be ended.
    pub(super) fn look(&mut self) -> Result<()> {
        self.tries = 0;
        self.wait_until(Until::Now)
    }

    /// Waits for a change until `deadline`. May return early.
    ///
    /// # Errors
    ///
    /// Fails if the guest is to be ended.
    pub(super) fn wait(&mut self, deadline: Instant) -> Result<()> {
        self.tries = 0;
        self.pause_accepting();
        let deadline = deadline.min(self.end).min(self.leaving.next()).min(self.accept_at);
        self.wait_until(match deadline.min(self.tasks.next_timer()) {
            Instant::NEVER => Until::Ever,
            deadline => Until::At(deadline),
        })
    }

    fn wait_until(&mut self, until: Until) -> Result<()> {
        let Self { watcher, sources, .. } = self;
        sources.end_halves();
        let notified = watcher.wait(until, |key, readiness| sources.changed(key, readiness))?;
        if notified {
            sources.is_stale = true;
            self.collect_lookups();
        }
        for index in self.sources.take_gone() {
            if let Some(source) = self.sources.remove(index) {
                self.close(&source);
                self.sources.is_stale = true;
            }
        }
        self.drop_stuck();
        self.pause_accepting();
        if self.sources.stop_came {
            self.notice_stop();
        }
        if self.sources.is_stale {
            self.tasks.wake_rare();
        }
        self.tasks.wake_due(|| self.watcher.now());
        if self.end != Instant::NEVER && self.now() >= self.end {
            return Err(Ended::Cut.into());
        }
        Ok(())
    }

    /// Drops the connections that the guest has closed, and whose peers no longer receive.
    fn drop_stuck(&mut self) {
        if self.leaving.next() == Instant::NEVER {
            return;
        }
        let now = self.now();
        while let Some(place) = self.leaving.stuck(now, |place| self.sources.unsent_of(place)) {
            if let Some(source) = self.sources.remove(place.index) {
                // A reset tells the peer that the end is missing.
                set_socket_linger(&source.descriptor, Some(Duration::ZERO)).ok();
                self.close(&source);
                self.sources.is_stale = true;
            }
        }
    }

    /// Makes listeners pause, and try again later, if the system has no descriptor or memory for a connection.
    fn pause_accepting(&mut self) {
        let Some(error) = self.sources.crowding.exhausted else { return };
        if self.accept_at == Instant::NEVER {
            self.accept_at = self.now() + RETRY;
            if !self.sources.crowding.is_known {
                self.sources.crowding.is_known = true;
                let (error, open) = (io::Error::from(error), self.sources.sockets);
                tracing::warn!(%error, open, "accepting pauses; clients wait in the backlog");
            }
        } else if self.now() >= self.accept_at {
            self.accept_at = Instant::NEVER;
            self.sources.crowding.exhausted = None;
            self.sources.is_stale = true;
        }
    }

    /// Waits until a part of a source is ready.
    pub(super) fn wait_for(&mut self, index: u32, part: Part) -> Result<()> {
        let place = self.sources.place(index)?;
        while !self.sources.is_ready(place, part) {
            self.wait_for_any(Instant::NEVER, 1, |_, _| Some(Pollable::Source(place, part)))?;
        }
        self.end_wait();
        Ok(())
    }

    /// Returns true if a part of a source is ready. If it is not, the system is asked before, as
    /// [`look_again`](Self::look_again) does.
    #[inline]
    pub(super) fn try_again(&mut self, index: u32, part: Part) -> Result<bool> {
        let place = self.sources.place(index)?;
        if self.sources.is_ready(place, part) {
            return Ok(true);
        }
        self.look_again()?;
        Ok(self.sources.is_ready(place, part))
    }

    /// Asks the system for changes, without waiting, unless that happened for one of the last operations.
    pub(super) fn look_again(&mut self) -> Result<()> {
        let tries = self.tries;
        if tries.is_multiple_of(TRIES) {
            self.look()?;
        }
        self.tries = tries.wrapping_add(1);
        Ok(())
    }

    /// Begins to stop, if the socket that requests it has ended: stdin ends, and listeners refuse connections.
    fn notice_stop(&mut self) {
        self.sources.stop_came = false;
        let peeked = recv(&self.stop, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        if self.is_stopping || matches!(peeked, Err(Errno::AGAIN | Errno::INTR)) {
            return;
        }
        self.is_stopping = true;
        self.sources.is_stale = true;
        if let Some(notes) = &mut self.notes {
            notes.draining();
        }
        tracing::info!(sockets = self.sources.sockets, "draining: the guest is asked to end");
        if let Some(span) = self.drain_timeout.and_then(|timeout| timeout.checked_add(GRACE)) {
            self.end = self.now() + span;
        }
        let mut room = self.sources.most.sockets.saturating_sub(self.sources.sockets);
        for (_, Source { descriptor, kind, waiting, .. }) in self.sources.iter_mut() {
            match kind {
                Kind::Listener(listener) => {
                    room = room.saturating_sub(listener.refuse(descriptor.as_fd(), room));
                }
                Kind::Stdin(stdin) => stdin.has_ended = true,
                Kind::Tcp(_) | Kind::Udp(_) => continue,
            }
            waiting.wake(Direction::Input);
        }
    }

    /// Sends the bytes that are held back, after the guest has ended.
    pub(super) fn finish(&mut self) {
        let end = self.now() + LINGER;
        while self.sources.holds_back() && self.now() < end && self.wait(end).is_ok() {}
    }
}
