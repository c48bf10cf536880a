//! The table of the loop's sockets, indexed by the ids of their sources in the kernel.

use sinbin_core::kernel::IdMap;
use sinbin_core::{Interest, IoError, SourceId};

use crate::connection::Connection;
use crate::listener::Listener;
use crate::poller::{Key, List};

/// A socket that can be watched.
enum Socket {
    /// A socket that accepts connections.
    Listener(Listener),
    /// A connection.
    Connection(Connection),
}

/// A socket in the table.
struct Entry {
    socket: Socket,
    watched: Interest,
    /// True if the peer has ended its sending direction or the connection has failed: no more bytes will arrive.
    ended: bool,
    /// True if the connection is closed and only waits for the peer. Received bytes are discarded.
    lingering: bool,
}

/// The sockets of a loop.
#[derive(Default)]
pub(crate) struct Sockets {
    entries: IdMap<SourceId, Entry>,
    /// The number of slots, from the first on, that contain all listeners.
    listener_places: usize,
    draining: bool,
}

impl Sockets {
    /// Stores a listener under `id`.
    pub(crate) fn insert_listener(&mut self, id: SourceId, listener: Listener) {
        self.listener_places = self.listener_places.max(id.index() + 1);
        self.put(id, Socket::Listener(listener), false);
    }

    /// Stores a connection under `id`.
    pub(crate) fn insert(&mut self, id: SourceId, connection: Connection, lingering: bool) {
        self.put(id, Socket::Connection(connection), lingering);
    }

    fn put(&mut self, id: SourceId, socket: Socket, lingering: bool) {
        self.entries.insert(id, Entry { socket, watched: Interest::NONE, ended: false, lingering });
    }

    /// Removes a socket. Returns a connection, and true if more bytes may arrive on it.
    pub(crate) fn remove(&mut self, id: SourceId) -> Option<(Connection, bool)> {
        let entry = self.entries.remove(id)?;
        match entry.socket {
            Socket::Connection(connection) => Some((connection, !entry.ended && !entry.lingering)),
            Socket::Listener(_) => None,
        }
    }

    /// Watches the socket for `interest`.
    pub(crate) fn watch(&mut self, id: SourceId, interest: Interest) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.watched = interest;
        if let Socket::Connection(connection) = &mut entry.socket {
            connection.watch(interest);
        }
    }

    /// Adds the watched listeners to `list`.
    pub(crate) fn gather_listeners<'a>(&'a self, list: &mut List<'a>) {
        for (id, entry) in self.entries.range(0..self.listener_places) {
            if let Socket::Listener(listener) = &entry.socket
                && entry.watched.contains(Interest::RECV)
            {
                list.push(&listener.incoming, Key::Source(id, Interest::RECV));
            }
        }
    }

    /// Adds up to `count` of the watched connections, starting at the slot `from`. Returns the slot of the next one, or
    /// `None` if there are no more.
    pub(crate) fn gather<'a>(&'a self, list: &mut List<'a>, from: usize, count: usize) -> Option<usize> {
        let mut left = count;
        for (id, entry) in self.entries.range(from..usize::MAX) {
            let Entry { socket: Socket::Connection(connection), watched, .. } = entry else {
                continue;
            };
            if watched.is_empty() {
                continue;
            }
            if left == 0 {
                return Some(id.index());
            }
            left -= 1;
            if watched.contains(Interest::RECV) {
                list.push_some(connection.readable(), Key::Source(id, Interest::RECV));
            }
            if watched.contains(Interest::SEND) {
                list.push_some(connection.writable(), Key::Source(id, Interest::SEND));
            }
        }
        None
    }

    pub(crate) fn accept(&mut self, id: SourceId) -> Result<Connection, IoError> {
        match self.entries.get_mut(id) {
            Some(Entry { socket: Socket::Listener(listener), .. }) => listener.accept(),
            _ => Err(IoError::Closed),
        }
    }

    #[inline]
    pub(crate) fn recv(&mut self, id: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let draining = self.draining;
        let entry = self.entries.get_mut(id).ok_or(IoError::Closed)?;
        match entry.connection()?.recv(buffer) {
            Err(IoError::WouldBlock) if draining && !entry.lingering => Err(IoError::Stopping),
            Err(IoError::WouldBlock) => Err(IoError::WouldBlock),
            Ok(count) if count > 0 => Ok(count),
            over => {
                entry.ended = true;
                over
            }
        }
    }

    #[inline]
    pub(crate) fn send(&mut self, id: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let entry = self.entries.get_mut(id).ok_or(IoError::Closed)?;
        let sent = entry.connection()?.send(bytes);
        entry.ended |= matches!(sent, Err(IoError::Reset));
        sent
    }

    /// Returns the connections that are being served.
    pub(crate) fn served(&self) -> impl Iterator<Item = SourceId> + '_ {
        let is_served = |entry: &Entry| matches!(entry.socket, Socket::Connection(_)) && !entry.lingering;
        self.entries.iter().filter(move |(_, entry)| is_served(entry)).map(|(id, _)| id)
    }

    /// Makes `recv` return [`IoError::Stopping`] from now on if a connection has nothing to read.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }
}

impl Entry {
    #[inline]
    fn connection(&self) -> Result<&Connection, IoError> {
        match &self.socket {
            Socket::Connection(connection) => Ok(connection),
            Socket::Listener(_) => Err(IoError::Unsupported),
        }
    }
}
