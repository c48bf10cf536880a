//! The collection of events: readiness, bytes, connections and results.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sinbin_core::driven::Event;
use sinbin_core::{Instant, Interest, IoError, SourceId};

use crate::guests::GuestFactory;
use crate::guests::input::handle;
use crate::guests::jobs::Jobs;
use crate::guests::server::GuestServer;
use crate::guests::source_table::{Role, SourceState};
use crate::host::{index, named};
use crate::observe::{EventKind, SourceKind};
use crate::sockets::{is_exhaustion, prepare_accepted};

/// The maximum number of sources polled before a turn. The number is large enough that many sources share the cost of
/// the call, and small enough that no source waits until a thousand others are polled.
const CHUNK: usize = 64;

/// The maximum number of connections accepted at a time, before other sources are polled.
const BATCH: u32 = 256;

/// The time to wait after the system had no resources for a connection.
const RETRY: Duration = Duration::from_millis(100);

/// The size of a read while the limit of stored bytes is reached. A request of a client that sends no newlines should
/// fit.
const BITE: usize = 256;

/// The result of an attempt to receive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Bytes were received for the guest.
    Received,
    /// The guest wants bytes, and none are available yet.
    WouldBlock,
    /// The connection has ended or is broken.
    Over,
    /// No attempt was made: the guest wants no bytes now or already has some in this turn, or the turn has no capacity
    /// left.
    NotMade,
}

impl<B: GuestFactory> GuestServer<B> {
    /// Collects the input of the next turn, and records whether there is more than fits into one turn.
    pub(super) fn gather(&mut self, now: Instant) {
        if self.instance.is_none() {
            self.restart_if_due(now);
        }
        self.tell_again();
        self.tell_results();
        self.tell_failures();
        self.tell_listeners();
        for _ in 0..CHUNK {
            // A source for which this turn has no capacity comes first in the next one.
            if !self.input.is_empty() && !self.input.has_room(self.bite()) {
                break;
            }
            let Some((source, readiness)) = self.ready.pop_front() else { break };
            self.look(source, readiness);
        }
        let has_results = self.jobs.as_ref().is_some_and(Jobs::are_over);
        self.has_more = !self.ready.is_empty() || !self.again.is_empty() || has_results;
    }

    /// Returns the maximum number of bytes that a connection may receive at a time.
    fn bite(&self) -> usize {
        let block = self.takes.block as usize;
        if self.kept < self.settings.max_buffered { block } else { block.min(BITE) }
    }

    /// Delivers bytes that the guest passed back unread and now wants again.
    fn tell_again(&mut self) {
        for source in std::mem::take(&mut self.again) {
            let Some(place) = self.places.get(source) else { continue };
            if place.unread().is_empty()
                || !place.interest.contains(Interest::RECV)
                || !place.piece().is_empty()
            {
                continue;
            }
            if !self.input.has_room(place.unread().len()) {
                self.again.push(source);
                continue;
            }
            let unread = place.take_unread();
            self.kept -= unread.len();
            self.input.room(unread.len()).copy_from_slice(&unread);
            place.set_piece(&self.input.received(source, unread.len()));
        }
    }

    fn tell_results(&mut self) {
        let Some(jobs) = &mut self.jobs else { return };
        while let Some((job, result)) = jobs.next_over(self.input.space()) {
            match result {
                Some(result) => self.input.computed(job, &result),
                None => self.input.events.push(Event::Lost(job)),
            }
        }
    }

    fn look(&mut self, source: SourceId, readiness: Interest) {
        // After the event that a connection has failed, the guest receives no further events for it.
        let Some(place) = self.places.get(source).filter(|place| !place.failed) else { return };
        match place.role {
            Role::Listener if self.draining.is_none() => self.accept_some(source),
            Role::Listener => {}
            Role::Lingering => self.discard(source),
            Role::Connecting => self.check_attempt(source),
            Role::Connection | Role::Closing => {
                let is_gone = readiness.contains(Interest::HANGUP);
                if is_gone || readiness.contains(Interest::SEND) {
                    self.flush(source);
                }
                let comes = is_gone || readiness.contains(Interest::RECV);
                let attempt = if comes { self.receive(source) } else { Attempt::NotMade };
                if is_gone {
                    self.hang_up(source);
                }
                // Received bytes alone do not change the interest.
                if readiness != Interest::RECV || attempt != Attempt::Received {
                    self.watch(source);
                }
            }
        }
    }

    /// Receives for the guest, if it wants bytes.
    pub(super) fn receive(&mut self, source: SourceId) -> Attempt {
        let limit = self.bite();
        // The reactor reports the source again if the turn has no capacity for its bytes.
        let wants_some =
            self.places.get(source).filter(|place| place.is_hungry() && place.piece().is_empty());
        let Some(place) = wants_some.filter(|_| self.input.has_room(limit)) else {
            return Attempt::NotMade;
        };
        match self.sockets.recv(source, self.input.room(limit)) {
            Ok(0) => {
                place.ended = true;
                self.input.events.push(Event::Ended(handle(source)));
                self.watch(source);
            }
            Ok(count) => {
                place.set_piece(&self.input.received(source, count));
                place.told_idle = false;
                self.counts.received += count as u64;
                return Attempt::Received;
            }
            Err(IoError::WouldBlock) => return Attempt::WouldBlock,
            Err(error) => self.broke(source, error),
        }
        Attempt::Over
    }

    /// Fails a broken connection. Bytes that were not sent are lost.
    pub(super) fn broke(&mut self, source: SourceId, error: IoError) {
        let Some(place) = self.places.get(source) else { return };
        if place.role == Role::Connecting {
            return self.attempt_failed(source, error);
        }
        if place.failed {
            return;
        }
        place.failed = true;
        self.kept -= place.drop_rest();
        if place.role == Role::Connection {
            tracing::debug!(%source, %error, "a connection broke");
            self.count_failed(source);
            self.input.events.push(Event::Failed(handle(source)));
            self.watch(source);
        } else {
            self.free(source);
        }
    }

    /// Counts a connection of a client that has failed. The connections that the guest has requested do not count.
    pub(super) fn count_failed(&mut self, source: SourceId) {
        self.counts.failed += u64::from(!self.outgoing.has(source));
    }

    fn hang_up(&mut self, source: SourceId) {
        let is_served = |place: &&mut SourceState| place.role == Role::Connection && !place.failed;
        let Some(place) = self.places.get(source).filter(is_served) else { return };
        if place.interest.contains(Interest::HANGUP) && !place.told_hangup {
            place.told_hangup = true;
            self.input.events.push(Event::Hangup(handle(source)));
        }
    }

    /// Sends stored bytes.
    fn flush(&mut self, source: SourceId) {
        let Some(place) = self.places.get(source) else { return };
        if place.rest().is_empty() {
            match place.role {
                Role::Connection if place.interest.contains(Interest::SEND) => {
                    self.input.events.push(Event::Writable(handle(source)));
                }
                Role::Closing => self.part(source),
                _ => {}
            }
            return;
        }
        match self.sockets.send(source, place.rest()) {
            Ok(count) => {
                place.sent(count);
                self.kept -= count;
                self.counts.sent += count as u64;
            }
            Err(IoError::WouldBlock) => return,
            Err(error) => return self.broke(source, error),
        }
        if place.rest().is_empty() {
            self.flushed(source);
        }
    }

    /// Continues after all stored bytes are sent.
    fn flushed(&mut self, source: SourceId) {
        let Some(place) = self.places.get(source) else { return };
        match place.role {
            Role::Closing => self.part(source),
            _ => {
                let shutdown = place.shutdown;
                self.input.events.push(Event::Writable(handle(source)));
                if shutdown {
                    self.sockets.shutdown(source).ok();
                }
            }
        }
    }

    /// Discards the input of a connection that lingers.
    fn discard(&mut self, source: SourceId) {
        let mut waste = [0; 4096];
        match self.sockets.recv(source, &mut waste) {
            Ok(1..) | Err(IoError::WouldBlock) => {}
            Ok(0) | Err(_) => self.free(source),
        }
    }

    pub(super) fn accept_some(&mut self, listener: SourceId) {
        for _ in 0..self.room.min(BATCH) {
            // The peer's address needs capacity, too.
            if self.open >= self.settings.max_connections || !self.input.has_room(64) {
                break;
            }
            match self.sockets.accept(listener) {
                Ok((stream, peer)) => {
                    if let Err(error) = prepare_accepted(&stream, peer) {
                        tracing::debug!(peer = %named(peer), %error, "a connection was gone before it was served");
                        continue;
                    }
                    let source = self.places.insert(Role::Connection);
                    if !self.peer_limit.admit(source, &stream, peer) {
                        self.places.remove(source);
                        self.counts.turned_away += 1;
                        self.observer.event(EventKind::TurnedAway, None, 0);
                        continue;
                    }
                    tracing::debug!(peer = %named(peer), %source, "connected");
                    self.sockets.insert_accepted(listener, source, stream, peer);
                    self.observer.guest_source(source, SourceKind::Accepted, peer);
                    self.observer.event(EventKind::Accepted, None, index(source.index()));
                    let address = peer.map(address);
                    self.input.accepted(listener, source, address.as_ref().map_or(&[], |bytes| bytes));
                    self.open += 1;
                    self.room -= 1;
                    self.counts.connections += 1;
                    self.crowded = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if has_no_room(&error) => {
                    if !self.crowded {
                        tracing::warn!(%error, open = self.open, "accepting pauses; clients wait in the backlog");
                    }
                    self.crowded = true;
                    self.accept_at = Some(self.now() + RETRY);
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// Watches the listeners while there is capacity for connections.
    pub(super) fn watch_listeners(&mut self, now: Instant) {
        self.accept_at.take_if(|at| *at <= now);
        let is_open = self.room > 0
            && self.open < self.settings.max_connections
            && self.accept_at.is_none()
            && self.instance.is_some()
            && self.draining.is_none();
        for index in 0..self.listeners.len() {
            let listener = self.listeners[index];
            let Some(place) = self.places.get(listener) else { continue };
            let wanted = if is_open { place.interest & Interest::RECV } else { Interest::NONE };
            if wanted != place.watched {
                match self.sockets.watch(listener, wanted) {
                    Ok(()) => place.watched = wanted,
                    Err(error) => tracing::error!(%error, "a listener cannot be watched"),
                }
            }
        }
    }
}

/// Returns true if the system lacks resources for a connection or has another temporary failure, and false if the
/// client caused the error.
fn has_no_room(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    is_exhaustion(error) || !matches!(error.kind(), Kind::Interrupted | Kind::ConnectionAborted)
}

/// Encodes a peer's address as the contract specifies.
pub(super) fn address(peer: SocketAddr) -> [u8; 18] {
    let ip = match peer.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&peer.port().to_be_bytes());
    bytes
}
