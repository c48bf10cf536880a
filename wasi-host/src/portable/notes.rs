//! Notes of what the guest waits for, for other processes that look at this one.
//!
//! Each wait costs a few stores and two looks at the clock. The list of its pollables is written at most ten times a
//! second: at the beginning of a wait, or in the middle of one that lasts, which is then interrupted once.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::net::{getpeername, getsockname};
use sinbin::Instant;
use sinbin::observe::{PollNotes, Pollable as Noted, PollableKind};
use wasmtime::Result;

use super::io::Io;
use super::poll::Pollable;
use super::sources::{Kind, Part, Source};

impl Io {
    /// Lets other processes look at the guest with this name from now on.
    pub(super) fn observe(&mut self, name: &str) {
        let most = self.sources.most;
        self.notes = PollNotes::new(self.watcher(), name, most.sockets, most.unsent).map(Box::new);
    }

    /// Waits as [`wait`](Self::wait) does, and notes that the guest waits for `count` pollables, which `pollable` returns
    /// by their indexes.
    pub(super) fn wait_for_any(
        &mut self,
        deadline: Instant,
        count: usize,
        pollable: impl Fn(&Self, usize) -> Option<Pollable>,
    ) -> Result<()> {
        self.wait_noted(deadline, count, |io| (0..count).filter_map(|index| pollable(io, index)).collect())
    }

    /// Waits for all tasks of a WASI 0.3 guest, and notes what they wait for.
    pub(super) fn wait_for_tasks(&mut self) -> Result<()> {
        let count = self.sources.sockets + self.sources.listeners;
        self.wait_noted(Instant::NEVER, count, |io| {
            let parts = io.sources.waited_for().into_iter();
            let mut pollables: Vec<_> = parts.map(|(place, part)| Pollable::Source(place, part)).collect();
            let deadline = io.tasks.next_timer();
            if deadline != Instant::NEVER {
                pollables.push(Pollable::At(deadline));
            }
            pollables
        })
    }

    /// Waits, and notes the pollables that `list` returns if they are to be listed.
    fn wait_noted(
        &mut self,
        deadline: Instant,
        count: usize,
        list: impl FnOnce(&mut Self) -> Vec<Pollable>,
    ) -> Result<()> {
        let note_at = match self.notes.take() {
            None => Instant::NEVER,
            Some(mut notes) => {
                let now = self.now();
                notes.begin_wait(now, count, self.sources.sockets);
                if notes.is_due(now) {
                    let since = notes.since();
                    let pollables = list(self);
                    notes.list(now, pollables.into_iter().filter_map(|pollable| self.noted(pollable, since)));
                }
                let due = notes.due();
                self.notes = Some(notes);
                due
            }
        };
        self.wait(deadline.min(note_at))
    }

    /// Notes that the guest computes, if it was noted that it waits.
    #[inline]
    pub(super) fn end_wait(&mut self) {
        if self.notes.as_ref().is_some_and(|notes| notes.is_waiting()) {
            let now = self.now();
            if let Some(notes) = &mut self.notes {
                notes.end_wait(now);
            }
        }
    }

    /// Returns what a pollable waits for in a wait that began at `since`. Returns `None` if it never waits.
    fn noted(&mut self, pollable: Pollable, since: Instant) -> Option<Noted> {
        let plain = |kind| Noted { kind, address: None, since, deadline: Instant::NEVER };
        match pollable {
            Pollable::Source(place, part) => {
                let source = self.sources.at(place)?;
                let (kind, address) = event(source, part)?;
                if source.quiet_since == Instant::NEVER {
                    source.quiet_since = since;
                }
                Some(Noted { address, since: source.quiet_since, ..plain(kind) })
            }
            Pollable::At(deadline) => Some(Noted { deadline, ..plain(PollableKind::Time) }),
            Pollable::Stdout => Some(plain(PollableKind::Stdout)),
            Pollable::Lookup(_) => Some(plain(PollableKind::Lookup)),
            Pollable::Always => None,
        }
    }
}

/// Returns the event that a part of a source waits for, and the address of its peer, or its own one.
fn event(source: &Source, part: Part) -> Option<(PollableKind, Option<SocketAddr>)> {
    let socket = source.descriptor.as_fd();
    let peer = || getpeername(socket).ok().flatten().and_then(|peer| SocketAddr::try_from(peer).ok());
    let local = || getsockname(socket).ok().and_then(|local| SocketAddr::try_from(local).ok());
    match (&source.kind, part) {
        (Kind::Tcp(_), Part::Input) => Some((PollableKind::Recv, peer())),
        (Kind::Tcp(_), Part::Output) => Some((PollableKind::Send, peer())),
        // The system does not tell the peer before the connection is established.
        (Kind::Tcp(tcp), Part::Socket) => Some((PollableKind::Connect, tcp.connects_to())),
        (Kind::Listener(_), _) => Some((PollableKind::Accept, local())),
        (Kind::Udp(_), Part::Input) => Some((PollableKind::RecvDatagram, local())),
        (Kind::Udp(_), Part::Output) => Some((PollableKind::SendDatagram, local())),
        (Kind::Udp(_), Part::Socket) => None,
        (Kind::Stdin(_), _) => Some((PollableKind::Stdin, None)),
    }
}
