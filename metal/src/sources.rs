//! The sources of the loop, each under the id that the kernel assigned to it, and the sockets that they use.

use sinbin_core::kernel::{Slots, Storage};
use sinbin_core::{Instant, Interest, IoError, SourceId};
use smoltcp::iface::SocketHandle;
use smoltcp::phy::Device;
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

use crate::memory::{Slot, Use};
use crate::net::Net;
use crate::settings::Settings;

/// The number of keep-alive segments that an idle peer may leave unanswered.
const PROBES: u32 = 3;

/// The delay of acknowledgements that may travel with an answer: smoltcp's default.
const ACK_DELAY: time::Duration = time::Duration::from_millis(10);

/// A source of the loop.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    id: SourceId,
    watched: Interest,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// The source is closed, or does not exist yet.
    Gone,
    Listener(IpListenEndpoint),
    Conn {
        handle: SocketHandle,
        /// The index of the slot.
        slot: usize,
        /// True if the answers are sent, and bytes that still arrive are discarded.
        lingers: bool,
    },
}

/// A closed connection whose remaining input is still to be read: the index of its slot.
pub(crate) type Unread = u16;

/// The network, and the sources that use it.
pub(crate) struct Sources<D: Device, S: Storage> {
    pub(crate) net: Net<D>,
    /// The sources, by their indexes.
    table: S::Sources<Source>,
    pub(crate) settings: Settings,
    /// True if the loop is to stop. Receiving from a connection without input then fails with [`IoError::Stopping`].
    pub(crate) draining: bool,
    /// The slot at which the search for an established connection begins, so that each slot has its turn.
    next: usize,
    /// The number of sockets that waited for a connection at the last poll.
    listening: usize,
    /// The number of connections that were opened, which may wrap around.
    pub(crate) ports: u16,
}

impl<D: Device, S: Storage> Sources<D, S> {
    pub(crate) fn new(net: Net<D>, storage: &S, settings: Settings) -> Self {
        Self { net, table: storage.sources(), settings, draining: false, next: 0, listening: 0, ports: 0 }
    }

    fn source(&mut self, id: SourceId) -> Option<&mut Source> {
        self.table.items_mut().get_mut(id.index()).filter(|source| source.id == id)
    }

    fn put(&mut self, id: SourceId, kind: Kind) {
        let source = Source { id, watched: Interest::NONE, kind };
        while self.table.items().len() <= id.index() {
            let gone = Source { kind: Kind::Gone, ..source };
            if self.table.push(gone).is_err() {
                debug_assert!(false, "the table has a slot for each source of the kernel");
                return;
            }
        }
        self.table.items_mut()[id.index()] = source;
    }

    /// Starts to listen. All sockets that are free listen.
    pub(crate) fn listen(&mut self, id: SourceId, endpoint: IpListenEndpoint) {
        self.put(id, Kind::Listener(endpoint));
        for slot in 0..self.net.slots().len() {
            // Each listener gives sockets that only wait to the one that has fewer.
            if let Slot { used: Use::Listening(other), handle: Some(handle) } = self.net.slots()[slot]
                && self.net.socket(handle).is_listening()
                && self.listening_for(other) > self.listening_for(id) + 1
            {
                self.net.socket_mut(handle).abort();
                self.net.sockets.slots[slot].used = Use::Free;
            }
            self.listen_again(slot);
        }
    }

    /// Returns the number of sockets that listen for `id`.
    fn listening_for(&self, id: SourceId) -> usize {
        self.net.slots().iter().filter(|slot| slot.used == Use::Listening(id)).count()
    }

    /// Makes a free socket listen for the listener that has the fewest sockets.
    fn listen_again(&mut self, slot: usize) {
        if self.net.slots()[slot].used != Use::Free {
            return;
        }
        let listeners = self.table.items().iter().filter_map(|source| match source.kind {
            Kind::Listener(endpoint) => Some((source.id, endpoint)),
            _ => None,
        });
        let Some((id, endpoint)) = listeners.min_by_key(|(id, _)| self.listening_for(*id)) else { return };
        let Some(handle) = self.net.slots()[slot].handle else { return };
        let timeout = self.settings.handshake_timeout;
        let socket = self.net.socket_mut(handle);
        socket.set_timeout(Some(timeout.into()));
        socket.set_keep_alive(None);
        socket.set_ack_delay(Some(ACK_DELAY));
        if socket.listen(endpoint).is_ok() {
            self.net.sockets.slots[slot].used = Use::Listening(id);
        }
    }

    /// Frees a socket without another word to its peer, and makes it listen if a listener needs it.
    pub(crate) fn free(&mut self, slot: usize) {
        if let Some(handle) = self.net.slots()[slot].handle {
            self.net.socket_mut(handle).abort();
        }
        self.net.sockets.slots[slot].used = Use::Free;
        self.listen_again(slot);
    }

    /// Moves an established connection of the listener to `new`.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] if there is none, and with [`IoError::Closed`] if the listener is closed.
    pub(crate) fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        match self.source(listener) {
            Some(Source { kind: Kind::Listener(_), .. }) => {}
            _ => return Err(IoError::Closed),
        }
        let count = self.net.slots().len();
        let mut all = (self.next..count).chain(0..self.next);
        let found = all.find(|slot| self.is_established(*slot, listener)).ok_or(IoError::WouldBlock)?;
        self.next = (found + 1) % count;
        self.adopt(found, new);
        Ok(())
    }

    /// Returns true if the socket in this slot listens for `listener`, and has a connection.
    fn is_established(&self, slot: usize, listener: SourceId) -> bool {
        let slot = self.net.slots()[slot];
        let state = slot.handle.map(|handle| self.net.socket(handle).state());
        slot.used == Use::Listening(listener)
            && !matches!(
                state,
                None | Some(tcp::State::Listen | tcp::State::SynReceived | tcp::State::Closed)
            )
    }

    /// Stores the connection of a socket as `id`.
    pub(crate) fn adopt(&mut self, slot: usize, id: SourceId) {
        let Some(handle) = self.net.slots()[slot].handle else { return };
        self.watch_peer(handle);
        self.net.sockets.slots[slot].used = Use::Conn(id);
        self.put(id, Kind::Conn { handle, slot, lingers: false });
    }

    /// Resets the connection from now on if its peer vanishes.
    pub(crate) fn watch_peer(&mut self, handle: SocketHandle) {
        let timeout = self.settings.peer_timeout;
        let socket = self.net.socket_mut(handle);
        if socket.keep_alive().is_none() {
            socket.set_timeout(Some(timeout.into()));
            socket.set_keep_alive(Some((timeout / (PROBES + 1)).into()));
        }
    }

    /// Does the same for the connection `id`.
    pub(crate) fn watch_peer_of(&mut self, id: SourceId) {
        if let Some(Kind::Conn { handle, .. }) = self.source(id).map(|source| source.kind) {
            self.watch_peer(handle);
        }
    }

    /// Keeps a closed connection as `id`, so that its remaining input can be read.
    pub(crate) fn linger(&mut self, id: SourceId, unread: Unread) {
        let slot = usize::from(unread);
        let Some(handle) = self.net.slots()[slot].handle else { return };
        self.net.sockets.slots[slot].used = Use::Conn(id);
        self.put(id, Kind::Conn { handle, slot, lingers: true });
    }

    /// Returns the socket of a connection, and true if the connection lingers.
    pub(crate) fn conn(&mut self, id: SourceId) -> Result<(&mut tcp::Socket<'static>, bool), IoError> {
        match self.source(id).map(|source| source.kind) {
            Some(Kind::Conn { handle, lingers, .. }) => Ok((self.net.socket_mut(handle), lingers)),
            _ => Err(IoError::Closed),
        }
    }

    pub(crate) fn recv(&mut self, id: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let draining = self.draining;
        let (socket, lingers) = self.conn(id)?;
        match socket.recv_slice(buffer) {
            Ok(0) if !buffer.is_empty() => {
                Err(if draining && !lingers { IoError::Stopping } else { IoError::WouldBlock })
            }
            Ok(count) => Ok(count),
            Err(tcp::RecvError::Finished) => Ok(0),
            Err(tcp::RecvError::InvalidState) => Err(IoError::Reset),
        }
    }

    pub(crate) fn send(&mut self, id: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        match self.conn(id)?.0.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => Err(IoError::WouldBlock),
            Ok(count) => Ok(count),
            Err(tcp::SendError::InvalidState) => Err(IoError::Reset),
        }
    }

    pub(crate) fn shutdown(&mut self, id: SourceId) -> Result<(), IoError> {
        let (socket, _) = self.conn(id)?;
        if !socket.may_send() {
            return Err(IoError::Reset);
        }
        socket.close();
        Ok(())
    }

    pub(crate) fn peer(&self, id: SourceId) -> Option<IpEndpoint> {
        match self.table.items().get(id.index()) {
            Some(Source { id: found, kind: Kind::Conn { handle, .. }, .. }) if *found == id => {
                self.net.socket(*handle).remote_endpoint()
            }
            _ => None,
        }
    }

    /// Closes a source. Returns the result of closing a connection, or `None` for a listener.
    pub(crate) fn close(&mut self, id: SourceId, now: Instant) -> Option<Closing> {
        let source = self.source(id)?;
        let kind = source.kind;
        source.kind = Kind::Gone;
        match kind {
            Kind::Gone => None,
            Kind::Listener(_) => {
                self.stop_listening(id);
                None
            }
            Kind::Conn { handle, slot, lingers } => Some(self.close_conn(handle, slot, lingers, now)),
        }
    }

    fn stop_listening(&mut self, id: SourceId) {
        for slot in 0..self.net.slots().len() {
            if self.net.slots()[slot].used != Use::Listening(id) {
                continue;
            }
            if let Some(handle) = self.net.slots()[slot].handle {
                self.net.socket_mut(handle).abort();
            }
            // The reset of a connection that was not accepted is still to be sent.
            self.net.sockets.slots[slot].used = Use::Leaving(Instant::ZERO);
        }
    }

    fn close_conn(&mut self, handle: SocketHandle, slot: usize, lingers: bool, now: Instant) -> Closing {
        let until = now + self.settings.close_timeout;
        let socket = self.net.socket_mut(handle);
        // More bytes may come until the peer has sent its last one.
        let may_come =
            matches!(socket.state(), tcp::State::Established | tcp::State::FinWait1 | tcp::State::FinWait2);
        socket.close();
        // No answer follows that an acknowledgement could travel with.
        socket.set_ack_delay(None);
        if may_come
            && !lingers
            && let Ok(unread) = u16::try_from(slot)
        {
            return Closing::Unread(unread);
        }
        // After it has lingered, a peer that has all bytes but keeps its side open is not waited for.
        let until = if socket.state() == tcp::State::FinWait2 { now } else { until };
        self.net.sockets.slots[slot].used = Use::Leaving(until);
        Closing::Done
    }

    /// Resets or forgets a closed connection whose input cannot be read, because no source is free for it.
    pub(crate) fn let_go(&mut self, unread: Unread, now: Instant) {
        self.net.sockets.slots[usize::from(unread)].used = Use::Leaving(now + self.settings.close_timeout);
    }

    /// Returns the number of closed connections whose last bytes are not delivered yet.
    pub(crate) fn leaving(&self) -> usize {
        let is_leaving = |slot: &&Slot| match (slot.used, slot.handle) {
            (Use::Leaving(_), Some(handle)) => self.net.socket(handle).is_active(),
            _ => false,
        };
        self.net.slots().iter().filter(is_leaving).count()
    }

    /// Returns the connections that are served.
    pub(crate) fn served(&self) -> impl Iterator<Item = SourceId> {
        let is_served = |source: &&Source| matches!(source.kind, Kind::Conn { lingers: false, .. });
        self.table.items().iter().filter(is_served).map(|source| source.id)
    }

    /// Makes the host watch a source for `interest`.
    pub(crate) fn watch(&mut self, id: SourceId, interest: Interest) {
        if let Some(source) = self.source(id) {
            source.watched = interest;
        }
    }

    /// Frees the sockets of connections that have ended, and passes each source that is ready to `ready`.
    pub(crate) fn sort(&mut self, now: Instant, mut ready: impl FnMut(SourceId, Interest)) {
        let mut listening = 0;
        // True if a socket that has a connection may lie behind one that waits for a connection.
        let (mut has_waiting, mut is_untidy) = (false, false);
        for slot in 0..self.net.slots().len() {
            let Slot { handle: Some(handle), used } = self.net.slots()[slot] else { continue };
            let socket = self.net.socket(handle);
            let state = socket.state();
            let is_waiting = match used {
                Use::Listening(_) => state == tcp::State::Listen,
                used => used == Use::Free,
            };
            has_waiting |= is_waiting;
            is_untidy |= has_waiting && !is_waiting;
            match used {
                Use::Conn(id) => {
                    let is = readiness(socket);
                    if let Some(source) = self.source(id) {
                        // A source that is watched for anything also reports a hangup.
                        let watched = if source.watched.is_empty() {
                            Interest::NONE
                        } else {
                            source.watched | Interest::HANGUP
                        };
                        if !(is & watched).is_empty() {
                            ready(id, is & watched);
                        }
                    }
                }
                Use::Listening(id) => match state {
                    tcp::State::Listen => listening += 1,
                    tcp::State::SynReceived => {}
                    // The client left before it was accepted, or did not complete the handshake.
                    tcp::State::Closed => {
                        self.free(slot);
                        has_waiting = true;
                    }
                    _ => {
                        self.watch_peer(handle);
                        let watched = self.source(id).map(|source| source.watched);
                        if watched.is_some_and(|watched| watched.contains(Interest::RECV)) {
                            ready(id, Interest::RECV);
                        }
                    }
                },
                Use::Leaving(until) => {
                    self.see_off(slot, handle, until, now);
                    has_waiting = true;
                }
                Use::Free => {}
            }
        }
        self.listening = listening;
        if is_untidy {
            self.tidy();
        }
    }

    /// Moves the sockets that wait for a connection behind those that have one. smoltcp passes a segment to the first
    /// socket that accepts it. A SYN that arrives twice, because its answer was lost, would otherwise open a second
    /// connection in a socket before that of the first one, and both would be reset.
    fn tidy(&mut self) {
        loop {
            let is_waiting = |slot: &Slot| match (slot.used, slot.handle) {
                (Use::Listening(_), Some(handle)) => self.net.socket(handle).is_listening(),
                (used, _) => used == Use::Free,
            };
            let slots = self.net.slots();
            let first = slots.iter().position(is_waiting);
            let last = slots.iter().rposition(|slot| !is_waiting(slot));
            let (Some(first), Some(last)) = (first, last) else { return };
            if first > last {
                return;
            }
            self.swap(first, last);
        }
    }

    /// Swaps the sockets of two slots, of which `first` comes first.
    fn swap(&mut self, first: usize, last: usize) {
        let mut sockets = self.net.sockets.set.iter_mut();
        let (a, b) = (sockets.nth(first), sockets.nth(last - first - 1));
        if let (Some((_, a)), Some((_, b))) = (a, b) {
            core::mem::swap(a, b);
        }
        drop(sockets);
        let slots = &mut *self.net.sockets.slots;
        let used = slots[first].used;
        slots[first].used = slots[last].used;
        slots[last].used = used;
        for moved in [first, last] {
            let Slot { handle: Some(new), used: Use::Conn(id) } = self.net.slots()[moved] else { continue };
            if let Some(Source { kind: Kind::Conn { handle, slot, .. }, .. }) = self.source(id) {
                (*handle, *slot) = (new, moved);
            }
        }
    }

    /// Frees the socket of a closed connection when it is done, and resets it when its time is over.
    fn see_off(&mut self, slot: usize, handle: SocketHandle, until: Instant, now: Instant) {
        // A reset is not sent before the link knows the peer, which may never be.
        let is_late = now >= until + self.settings.close_timeout;
        let is_needed = self.listening == 0;
        let socket = self.net.socket_mut(handle);
        match socket.state() {
            // Both sides have delivered everything, and the socket only waits for stray segments.
            tcp::State::TimeWait if is_needed => {
                self.listening += 1;
                self.free(slot);
            }
            tcp::State::Closed if is_late || socket.remote_endpoint().is_none() => self.free(slot),
            tcp::State::TimeWait | tcp::State::Closed => {}
            // The peer has all bytes. A reset would tell it nothing, but might destroy what it has not read.
            tcp::State::FinWait2 if now >= until => self.free(slot),
            _ if now >= until => socket.abort(),
            _ => {}
        }
    }

    /// Returns the moment when the time of a closed connection is over, at the earliest.
    pub(crate) fn next_end(&self) -> Instant {
        let ends = self.net.slots().iter().filter_map(|slot| match (slot.used, slot.handle) {
            (Use::Leaving(until), Some(handle)) if self.net.socket(handle).is_active() => Some(until),
            _ => None,
        });
        ends.min().unwrap_or(Instant::NEVER)
    }
}

/// The result of closing a connection.
pub(crate) enum Closing {
    /// More bytes may come, which the loop has to discard.
    Unread(Unread),
    /// The rest is done by the network.
    Done,
}

/// Returns which operations of a connection do not block.
fn readiness(socket: &tcp::Socket<'_>) -> Interest {
    let state = socket.state();
    let mut is = Interest::NONE;
    // The connection attempt is in progress.
    if matches!(state, tcp::State::SynSent | tcp::State::SynReceived) {
        return is;
    }
    if socket.can_recv() || !socket.may_recv() {
        is = is | Interest::RECV;
    }
    if socket.can_send() || !socket.may_send() {
        is = is | Interest::SEND;
    }
    if matches!(state, tcp::State::Closing | tcp::State::LastAck | tcp::State::TimeWait | tcp::State::Closed)
    {
        is = is | Interest::HANGUP;
    }
    is
}
