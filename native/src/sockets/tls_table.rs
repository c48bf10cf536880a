//! The connections with TLS in the table of sockets.
//!
//! Such a connection can be ready although its descriptor is not, because the session has bytes that are decrypted
//! already. And the session may wait for the other direction than the task. So the table translates in both directions:
//! the interest of a task to that of the session, and the readiness of the descriptor to that of the session. A connection
//! on which an operation was tried is *due*: before the next wait, the table registers its interest anew, and if it is
//! ready for its task, the wait only polls, and the table reports it.

use std::collections::BTreeSet;
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant as Moment};

use sinbin_core::{Instant, Interest, IoError, Readiness, SourceId};

use super::tls_stream::TlsStream;
use super::{Entry, Listening, Socket, Sockets};
use crate::clock::Clock;
use crate::reactor::{Registry, Until};
use crate::tls::session::{RECORD, Session};
use crate::tls::{Peer, TlsError};

/// The size of the buffer for the encrypted bytes of handshakes.
const BUFFER: usize = RECORD;

/// The size of records, and of reads, while the limit of stored bytes is reached.
const BITE: usize = 256;

/// The minimum interval between two log lines about connections that have failed.
const PERIOD: Duration = Duration::from_secs(1);

/// The state of a table that concerns all connections with TLS.
pub(super) struct TlsTable {
    clock: Clock,
    /// The connections to look at before the next wait.
    due: Vec<SourceId>,
    /// The deadlines of handshakes.
    deadlines: BTreeSet<(Instant, SourceId)>,
    /// The time at which the current wait has begun, if there are deadlines.
    looked: Instant,
    /// The number of bytes that the sessions store, and its limit.
    stored: usize,
    max_stored: usize,
    /// The buffer for the encrypted bytes of handshakes, once there was one.
    buffer: Box<[u8]>,
    /// The time of the last log line about a failed connection, and the number of them since then.
    logged: Option<Moment>,
    unsaid: u64,
    /// True if connections are cut off when they are closed.
    pub(super) is_cutting: bool,
}

impl TlsTable {
    pub(super) fn new(clock: Clock, max_stored: usize) -> Self {
        Self {
            clock,
            due: Vec::new(),
            deadlines: BTreeSet::new(),
            looked: Instant::ZERO,
            stored: 0,
            max_stored,
            buffer: Box::default(),
            logged: None,
            unsaid: 0,
            is_cutting: false,
        }
    }

    /// Returns the maximum size of a record or a read.
    const fn piece(&self) -> usize {
        if self.stored < self.max_stored { RECORD } else { BITE }
    }

    /// Puts a connection on the list of those to look at, counts the bytes that its session stores, and logs why it has
    /// failed if it has.
    fn touch(&mut self, id: SourceId, tls: &mut TlsStream) {
        self.recount(tls);
        if let Some(error) = tls.take_report() {
            self.report(&error);
        }
        if !mem::replace(&mut tls.is_due, true) {
            self.due.push(id);
        }
    }

    /// Takes the buffer for the encrypted bytes of handshakes.
    fn take_buffer(&mut self) -> Box<[u8]> {
        let buffer = mem::take(&mut self.buffer);
        if buffer.is_empty() { vec![0; BUFFER].into() } else { buffer }
    }

    fn recount(&mut self, tls: &mut TlsStream) {
        let stored = tls.stored();
        self.stored = self.stored + stored - mem::replace(&mut tls.counted, stored);
    }

    /// Forgets a connection that leaves the table.
    pub(super) fn forget(&mut self, id: SourceId, tls: &mut TlsStream) {
        self.stored -= mem::take(&mut tls.counted);
        self.end_handshake(id, tls);
        tls.is_due = false;
    }

    fn end_handshake(&mut self, id: SourceId, tls: &mut TlsStream) {
        if let Some((until, _)) = tls.handshake.take() {
            self.deadlines.remove(&(until, id));
        }
    }

    /// Looks at a connection before a wait. Returns true if it is ready for its task.
    fn review(&mut self, registry: &Registry, id: SourceId, entry: &mut Entry) -> bool {
        let Socket::Tls(tls) = &mut entry.socket else { return false };
        if !tls.is_handshaking() {
            self.end_handshake(id, tls);
        }
        let interest = tls.interest();
        if interest != entry.watched {
            match registry.change(&entry.socket, id.index(), entry.watched, interest) {
                Ok(()) => entry.watched = interest,
                Err(error) => {
                    tracing::error!(source = %id, %error, "a connection cannot be watched, and is given up");
                    let Socket::Tls(tls) = &mut entry.socket else { return false };
                    tls.broke(&error);
                }
            }
        }
        let is_ready = is_ready(entry);
        if let Socket::Tls(tls) = &mut entry.socket {
            tls.is_due = is_ready;
        }
        is_ready
    }

    /// Logs why a connection has failed, at most once per [`PERIOD`].
    #[cold]
    fn report(&mut self, error: &TlsError) {
        // Clients that only look whether a port is open, or that leave without a word, are no news.
        if matches!(error, TlsError::Closed { peer } | TlsError::Truncated { peer } if peer.name.is_none()) {
            return tracing::debug!("{error}");
        }
        self.unsaid += 1;
        if self.logged.is_some_and(|last| last.elapsed() < PERIOD) {
            return;
        }
        self.logged = Some(Moment::now());
        let count = mem::take(&mut self.unsaid);
        tracing::warn!(count, "a connection has failed: {error}");
    }
}

/// Returns true if the connection is ready for its task.
fn is_ready(entry: &mut Entry) -> bool {
    let Socket::Tls(tls) = &mut entry.socket else { return false };
    !(tls.readiness() & tls.wanted).is_empty()
}

impl Sockets {
    /// Inserts a connection that `listener` has accepted.
    pub(crate) fn insert_accepted(
        &mut self,
        listener: SourceId,
        id: SourceId,
        stream: TcpStream,
        peer: Option<SocketAddr>,
    ) {
        let acceptor = match self.entries.get(listener).map(|entry| &entry.socket) {
            Some(Socket::Listener(Listening::Tls(listener))) => &listener.1,
            _ => return self.insert(id, Socket::Stream(stream), false),
        };
        let limit = acceptor.handshake_timeout();
        let session = match acceptor.session() {
            Ok(session) => session,
            Err(error) => {
                // The configuration is that of other connections, so the library lacks a resource of the system.
                tracing::error!(%error, "a TLS session cannot be created, and the connection is given up");
                stream.shutdown(Shutdown::Both).ok();
                return self.insert(id, Socket::Stream(stream), false);
            }
        };
        let until = self.tls.clock.now() + limit;
        let peer = Peer { address: peer, name: None };
        let tls = TlsStream::new(stream, peer, session, Some((until, limit)));
        self.tls.deadlines.insert((until, id));
        self.insert(id, Socket::Tls(Box::new(tls)), false);
    }

    /// Begins the handshake of a client on a connection without TLS, with the server that is to be `name`. The
    /// connection is ready to send when the handshake has ended.
    ///
    /// # Errors
    ///
    /// Fails if there is no such connection.
    pub(crate) fn begin_handshake(
        &mut self,
        id: SourceId,
        session: Session,
        name: String,
    ) -> Result<(), IoError> {
        let peer = Peer { address: self.peer(id), name: Some(name) };
        let Some(Entry { socket: Socket::Stream(stream), .. }) = self.take(id) else {
            return Err(IoError::Closed);
        };
        self.insert(id, Socket::Tls(Box::new(TlsStream::new(stream, peer, session, None))), false);
        let begin = |tls: &mut TlsStream, _| {
            tls.wanted = Interest::SEND;
            tls.flush();
            Ok(())
        };
        self.with_tls(id, begin)
    }

    /// Fails a handshake that takes longer than `limit`, unless it has ended.
    pub(crate) fn expire_handshake(&mut self, id: SourceId, limit: Duration) {
        let expire = |tls: &mut TlsStream, _| {
            if tls.is_handshaking() {
                tls.be_late(limit);
            }
            Ok(())
        };
        self.with_tls(id, expire).ok();
    }

    /// Calls `operation` with a connection with TLS and the maximum size of a piece, and looks at the connection before
    /// the next wait.
    ///
    /// # Errors
    ///
    /// Fails with the error of the operation, and if there is no such connection.
    fn with_tls<R>(
        &mut self,
        id: SourceId,
        operation: impl FnOnce(&mut TlsStream, usize) -> Result<R, IoError>,
    ) -> Result<R, IoError> {
        let Self { entries, tls: table, .. } = self;
        let entry = entries.get_mut(id).ok_or(IoError::Closed)?;
        let Socket::Tls(tls) = &mut entry.socket else { return Err(not_connected()) };
        let done = operation(tls, table.piece());
        entry.ended |= matches!(&done, Err(error) if *error != IoError::WouldBlock);
        table.touch(id, tls);
        done
    }

    /// Forgets what the table knows about an entry that leaves it.
    pub(super) fn forget_tls(&mut self, id: SourceId, mut entry: Entry) -> Entry {
        if let Socket::Tls(tls) = &mut entry.socket {
            self.tls.forget(id, tls);
        }
        entry
    }

    /// Receives from a connection that is no plain one.
    #[inline(never)]
    pub(super) fn recv_tls(&mut self, id: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let is_draining = self.draining;
        self.with_tls(id, |tls, piece| {
            let limit = buffer.len().min(piece);
            match tls.recv(&mut buffer[..limit]) {
                Err(IoError::WouldBlock) if is_draining && !tls.is_lingering() => Err(IoError::Stopping),
                received => received,
            }
        })
    }

    /// Sends on a connection that is no plain one.
    #[inline(never)]
    pub(super) fn send_tls(&mut self, id: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.with_tls(id, |tls, piece| tls.send(bytes, piece))
    }

    /// Shuts down the sending direction of a connection that is no plain one.
    pub(super) fn shutdown_tls(&mut self, id: SourceId) -> Result<(), IoError> {
        self.with_tls(id, |tls, _| tls.shutdown())
    }

    /// Sets the interest of the task of a connection.
    pub(super) fn watch_tls(&mut self, id: SourceId, interest: Interest) {
        let set = |tls: &mut TlsStream, _| {
            tls.wanted = interest;
            Ok(())
        };
        self.with_tls(id, set).ok();
    }

    /// Discards what a connection still receives, after it was shut down.
    pub(crate) fn linger(&mut self, id: SourceId) {
        let linger = |tls: &mut TlsStream, _| {
            tls.linger();
            Ok(())
        };
        self.with_tls(id, linger).ok();
    }

    /// Returns true if the peer of a connection speaks TLS.
    pub(crate) fn is_tls(&self, id: SourceId) -> bool {
        matches!(self.entries.get(id), Some(Entry { socket: Socket::Tls(_), .. }))
    }

    /// Returns true if the connection stores bytes that the system has not accepted yet.
    pub(crate) fn has_unsent(&self, id: SourceId) -> bool {
        matches!(self.entries.get(id), Some(Entry { socket: Socket::Tls(tls), .. }) if tls.has_unsent())
    }

    /// Returns true if a closed connection may take more time, since the system has accepted stored bytes.
    pub(crate) fn has_moved(&mut self, id: SourceId) -> bool {
        match self.entries.get_mut(id).map(|entry| &mut entry.socket) {
            Some(Socket::Tls(tls)) => tls.has_moved(),
            _ => false,
        }
    }

    /// Returns the number of closed connections that store bytes which the system has not accepted yet.
    pub(crate) fn leaving(&self) -> usize {
        let leaves = |entry: &Entry| matches!(&entry.socket, Socket::Tls(tls) if tls.is_lingering() && tls.has_unsent());
        self.entries.iter().filter(|(_, entry)| leaves(entry)).count()
    }

    /// From now on, cuts off connections that are closed.
    pub(crate) fn cut(&mut self) {
        self.tls.is_cutting = true;
    }

    /// Prepares a wait until `until`: looks at the connections that are due, and returns the end of the wait.
    #[inline]
    pub(crate) fn before_wait(&mut self, until: Until) -> Until {
        if self.tls.due.is_empty() && self.tls.deadlines.is_empty() { until } else { self.review_due(until) }
    }

    #[inline(never)]
    fn review_due(&mut self, until: Until) -> Until {
        let Self { registry, entries, tls, .. } = self;
        let mut due = mem::take(&mut tls.due);
        due.retain(|id| entries.get_mut(*id).is_some_and(|entry| tls.review(registry, *id, entry)));
        tls.due = due;
        if !tls.deadlines.is_empty() {
            tls.looked = tls.clock.now();
        }
        if !tls.due.is_empty() {
            return Until::Now;
        }
        match (until, tls.deadlines.first()) {
            (until, None) | (until @ Until::Now, _) => until,
            (Until::Ever, Some((at, _))) => Until::At(*at),
            (Until::At(until), Some((at, _))) => Until::At(until.min(*at)),
        }
    }

    /// Returns the source at `index`, and what it is ready for, if that concerns its task.
    #[inline]
    pub(crate) fn event(&mut self, index: usize, readiness: Readiness) -> Option<(SourceId, Readiness)> {
        let (id, entry) = self.entries.at(index)?;
        if let Socket::Tls(_) = entry.socket {
            return self.tls_event(id, readiness);
        }
        Some((id, readiness))
    }

    #[inline(never)]
    fn tls_event(&mut self, id: SourceId, readiness: Readiness) -> Option<(SourceId, Readiness)> {
        let Self { entries, tls: table, .. } = self;
        let entry = entries.get_mut(id)?;
        let Socket::Tls(tls) = &mut entry.socket else { return None };
        let is_gone = readiness.contains(Interest::HANGUP);
        if tls.is_handshaking() {
            let mut buffer = table.take_buffer();
            tls.shake_hands(&mut buffer);
            table.buffer = buffer;
        } else if readiness.contains(Interest::SEND) {
            tls.flush();
        }
        if is_gone {
            tls.hang_up();
        }
        table.touch(id, tls);
        let own = tls.readiness();
        if tls.is_handshaking() || !(own & tls.wanted).is_empty() {
            // After the wait, the connection is reported if it is ready.
            return None;
        }
        // Only an operation can tell whether what has arrived is a whole record.
        let rest = (readiness & (Interest::RECV | Interest::HANGUP)) & tls.wanted;
        let rest = if is_gone && !tls.wanted.is_empty() { rest | Interest::HANGUP } else { rest };
        (!rest.is_empty()).then_some((id, rest))
    }

    /// Reports the connections that are ready because of what their sessions store, and ends handshakes that take too
    /// long.
    #[inline]
    pub(crate) fn after_wait(&mut self, ready: impl FnMut(SourceId, Readiness)) {
        if !self.tls.due.is_empty() || !self.tls.deadlines.is_empty() {
            self.report_due(ready);
        }
    }

    #[inline(never)]
    fn report_due(&mut self, mut ready: impl FnMut(SourceId, Readiness)) {
        self.expire_handshakes();
        let Self { entries, tls, .. } = self;
        for id in &tls.due {
            let Some(entry) = entries.get_mut(*id) else { continue };
            if let Socket::Tls(tls) = &mut entry.socket {
                let readiness = tls.readiness();
                let own = readiness & tls.wanted;
                if !own.is_empty() {
                    // A hangup ends every wait.
                    ready(*id, own | (readiness & Interest::HANGUP));
                }
            }
        }
    }

    /// Ends the handshakes whose deadlines had passed when the wait began, so that what came in time was seen.
    fn expire_handshakes(&mut self) {
        let Self { entries, tls: table, .. } = self;
        let looked = mem::replace(&mut table.looked, Instant::ZERO);
        while let Some((until, id)) = table.deadlines.first().copied().filter(|(until, _)| *until <= looked) {
            table.deadlines.remove(&(until, id));
            let Some(Entry { socket: Socket::Tls(tls), .. }) = entries.get_mut(id) else { continue };
            if tls.is_handshaking() {
                tls.be_late(tls.handshake.map_or(Duration::ZERO, |(_, limit)| limit));
                table.touch(id, tls);
            }
        }
    }
}

/// Returns the error of an operation on a source that is no connection.
fn not_connected() -> IoError {
    std::io::Error::from(std::io::ErrorKind::NotConnected).into()
}
