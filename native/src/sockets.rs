//! The sockets of a loop, each under the id that the kernel assigned to its source.

mod open;
#[cfg(not(feature = "tls"))]
mod plain_table;
mod socket;
#[cfg(feature = "tls")]
mod tls_stream;
#[cfg(feature = "tls")]
mod tls_table;
#[cfg(unix)]
mod unix;

use std::any::Any;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};

use sinbin_core::kernel::IdMap;
use sinbin_core::{Interest, IoError, SourceId};

#[cfg(unix)]
pub(crate) use self::open::connect_path;
pub(crate) use self::open::{adopt, bind, connect, is_exhaustion, prepare, prepare_accepted};
pub(crate) use self::socket::{Accepted, Descriptor, Listening, Object, Shared, Socket, descriptor};
#[cfg(feature = "tls")]
pub(crate) use self::tls_stream::TlsStream;
#[cfg(feature = "tls")]
use self::tls_table::TlsTable;
#[cfg(unix)]
pub(crate) use self::unix::{OwnPath, UnixPathListener, bind_path};
use crate::clock::Clock;
use crate::reactor::{Reactor, Registry};
use crate::socket_io;

/// A socket in the table.
struct Entry {
    socket: Socket,
    watched: Interest,
    /// True if no more bytes will arrive: the peer has sent its last byte, or the connection is broken.
    ended: bool,
    /// True if the answers are sent, and bytes that still arrive are discarded.
    lingering: bool,
}

impl Entry {
    #[inline]
    fn stream(&self) -> io::Result<&TcpStream> {
        match &self.socket {
            Socket::Stream(stream) => Ok(stream),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => Ok(&tls.stream),
            Socket::Listener(_) | Socket::Shared(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[inline]
    fn failed(&mut self, error: io::Error) -> IoError {
        if is_blocked(&error) {
            return IoError::WouldBlock;
        }
        self.ended = true;
        error.into()
    }
}

/// Returns true if the operation is to be retried when the socket is ready. After an interruption, it is still ready.
#[inline]
fn is_blocked(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The sockets of a loop. Its reactor watches no other sockets.
pub(crate) struct Sockets {
    registry: Registry,
    entries: IdMap<SourceId, Entry>,
    /// True if the loop is to stop. Receiving from a connection without input then fails with [`IoError::Stopping`].
    draining: bool,
    #[cfg(feature = "tls")]
    tls: TlsTable,
}

impl Sockets {
    /// Creates a table with capacity for `limit` sockets, which `reactor` watches. Sessions of TLS store up to about
    /// `max_stored` bytes.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only TLS stores bytes"))]
    pub(crate) fn new(limit: usize, reactor: &Reactor, clock: Clock, max_stored: usize) -> Self {
        Self {
            registry: reactor.registry(),
            entries: IdMap::with_capacity(limit),
            draining: false,
            #[cfg(feature = "tls")]
            tls: TlsTable::new(clock, max_stored),
        }
    }

    /// Inserts a nonblocking socket. Set `lingering` if the input of the connection is to be discarded.
    pub(crate) fn insert(&mut self, id: SourceId, socket: Socket, lingering: bool) {
        self.unwatch(id.index());
        self.entries.insert(id, Entry { socket, watched: Interest::NONE, ended: false, lingering });
    }

    /// Removes a socket from the table and from the reactor.
    pub(crate) fn remove(&mut self, id: SourceId) {
        self.take(id);
    }

    fn take(&mut self, id: SourceId) -> Option<Entry> {
        self.entry(id)?;
        self.unwatch(id.index());
        let entry = self.entries.remove(id)?;
        #[cfg(feature = "tls")]
        let entry = self.forget_tls(id, entry);
        Some(entry)
    }

    /// Removes a connection that its task closes. Its sending direction ends. Returns the connection if it is to linger,
    /// since unread bytes may still arrive, or `None` within if it is closed. Removes anything else, and returns `None`.
    pub(crate) fn close(&mut self, id: SourceId) -> Option<Option<Socket>> {
        let entry = self.take(id)?;
        match entry.socket {
            Socket::Stream(stream) => {
                let is_unread = !entry.ended && !entry.lingering;
                let lingers = is_unread && stream.shutdown(Shutdown::Write).is_ok();
                Some(lingers.then_some(Socket::Stream(stream)))
            }
            #[cfg(feature = "tls")]
            Socket::Tls(mut tls) => Some(tls.close(self.tls.is_cutting).then_some(Socket::Tls(tls))),
            Socket::Listener(_) | Socket::Shared(_) => None,
        }
    }

    /// Makes the reactor watch the socket for `interest`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system. The interest that is watched is then unchanged.
    pub(crate) fn watch(&mut self, id: SourceId, interest: Interest) -> io::Result<()> {
        let Self { registry, entries, .. } = self;
        let Some(entry) = entries.get_mut(id) else { return Ok(()) };
        #[cfg(feature = "tls")]
        if let Socket::Tls(_) = entry.socket {
            self.watch_tls(id, interest);
            return Ok(());
        }
        registry.change(&entry.socket, id.index(), entry.watched, interest)?;
        entry.watched = interest;
        Ok(())
    }

    /// Removes the registration of a socket that is about to leave its slot.
    fn unwatch(&mut self, index: usize) {
        let Self { registry, entries, .. } = self;
        if let Some((_, entry)) = entries.at_mut(index) {
            registry.change(&entry.socket, index, entry.watched, Interest::NONE).ok();
            entry.watched = Interest::NONE;
        }
    }

    /// Accepts a connection from a listener.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub(crate) fn accept(&mut self, id: SourceId) -> io::Result<Accepted> {
        match self.entry(id) {
            Some(Entry { socket: Socket::Listener(listener), .. }) => listener.accept(),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Receives the available bytes.
    ///
    /// # Errors
    ///
    /// Fails as [`Host::recv`](sinbin_core::Host::recv) does.
    #[inline]
    pub(crate) fn recv(&mut self, id: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let draining = self.draining;
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let Socket::Stream(stream) = &entry.socket else { return self.recv_tls(id, buffer) };
        match socket_io::recv(stream, buffer) {
            Ok(0) => {
                entry.ended = true;
                Ok(0)
            }
            Ok(count) => Ok(count),
            Err(error) if is_blocked(&error) && draining && !entry.lingering => Err(IoError::Stopping),
            Err(error) => Err(entry.failed(error)),
        }
    }

    /// Sends as many bytes as the connection accepts.
    ///
    /// # Errors
    ///
    /// Fails as [`Host::send`](sinbin_core::Host::send) does.
    #[inline]
    pub(crate) fn send(&mut self, id: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let Socket::Stream(stream) = &entry.socket else { return self.send_tls(id, bytes) };
        socket_io::send(stream, bytes).map_err(|error| entry.failed(error))
    }

    /// Shuts down the sending direction of a connection.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub(crate) fn shutdown(&mut self, id: SourceId) -> Result<(), IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let Socket::Stream(stream) = &entry.socket else { return self.shutdown_tls(id) };
        stream.shutdown(Shutdown::Write).map_err(|error| entry.failed(error))
    }

    /// Returns the result of connecting, or that of a TLS handshake. Called when the connection is ready to send.
    pub(crate) fn connected(&mut self, id: SourceId) -> Result<(), IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        #[cfg(feature = "tls")]
        if let Socket::Tls(tls) = &entry.socket {
            return tls.handshaken();
        }
        let stream = entry.stream()?;
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(error.into()),
        }
        // Without an error and without a peer, the connection is still being established.
        let peer = stream.peer_addr();
        peer.map(|_| ()).map_err(|_| IoError::WouldBlock)
    }

    /// Returns the address of a connection's peer.
    pub(crate) fn peer(&self, id: SourceId) -> Option<SocketAddr> {
        let entry = self.entries.get(id)?;
        entry.stream().and_then(TcpStream::peer_addr).ok()
    }

    /// Returns the addresses of the listeners.
    pub(crate) fn bound(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.entries.iter().filter_map(|(_, entry)| match &entry.socket {
            Socket::Listener(listener) => listener.address(),
            #[cfg(feature = "tls")]
            Socket::Tls(_) => None,
            Socket::Stream(_) | Socket::Shared(_) => None,
        })
    }

    /// From now on, makes receiving fail with [`IoError::Stopping`] on connections that have nothing to read.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Calls `attempt` with the object of a source: an operation that receives, sends, or does neither.
    ///
    /// # Errors
    ///
    /// Fails as [`AsyncHost::operate`](sinbin_core::task::AsyncHost::operate) does.
    pub(crate) fn operate(
        &mut self,
        id: SourceId,
        interest: Interest,
        attempt: &mut dyn FnMut(&dyn Any) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        let draining = self.draining;
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let (object, drains): (&dyn Any, bool) = match &entry.socket {
            Socket::Stream(stream) => (stream, !entry.lingering),
            Socket::Shared(shared) => (&**shared, shared.drains),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => (&**tls, !tls.is_lingering()),
            Socket::Listener(listener) => (listener, false),
        };
        match attempt(object) {
            Err(IoError::WouldBlock) if interest == Interest::RECV && draining && drains => {
                Err(IoError::Stopping)
            }
            operated => operated,
        }
    }

    /// Returns the connections that are served, and other objects whose tasks learn of the end.
    pub(crate) fn served(&self) -> impl Iterator<Item = SourceId> + '_ {
        let is_served = |entry: &Entry| match &entry.socket {
            Socket::Stream(_) => !entry.lingering,
            Socket::Shared(shared) => shared.drains,
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => !tls.is_lingering(),
            Socket::Listener(_) => false,
        };
        self.entries.iter().filter(move |(_, entry)| is_served(entry)).map(|(id, _)| id)
    }

    #[inline]
    fn entry(&mut self, id: SourceId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for index in 0..self.entries.places() {
            self.unwatch(index);
        }
    }
}
