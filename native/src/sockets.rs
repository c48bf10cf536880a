//! The sockets of a loop, each under the id that the kernel gave its source.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use sinbin_core::{IdMap, Interest, IoError, SourceId};
use socket2::{Domain, Protocol, Type};

use crate::reactor::{Reactor, Registry};
use crate::socket_io;

/// A socket that can be watched.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Takes connections.
    Listener(TcpListener),
    /// A connection.
    Stream(TcpStream),
}

/// A socket in the table.
struct Entry {
    socket: Socket,
    watched: Interest,
    /// The peer has sent its last byte, or the connection is broken: nothing more will come in.
    ended: bool,
    /// Its answers are sent; what still comes in is thrown away.
    lingering: bool,
}

impl Entry {
    #[inline]
    fn stream(&self) -> io::Result<&TcpStream> {
        match &self.socket {
            Socket::Stream(stream) => Ok(stream),
            Socket::Listener(_) => Err(io::ErrorKind::NotConnected.into()),
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

/// Returns true if the operation is to be tried again when the socket is ready, which it is at once after an interruption.
#[inline]
fn is_blocked(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The sockets of a loop. Its reactor watches no others.
pub(crate) struct Sockets {
    registry: Registry,
    entries: IdMap<SourceId, Entry>,
    /// The loop is to stop, and a connection that has nothing to read is told so.
    draining: bool,
}

impl Sockets {
    /// Creates a table with room for `limit` sockets, whose readiness `reactor` tells.
    pub(crate) fn new(limit: usize, reactor: &Reactor) -> Self {
        Self { registry: reactor.registry(), entries: IdMap::with_capacity(limit), draining: false }
    }

    /// Puts a socket, which is nonblocking, into the table. A connection that is only read out is `lingering`.
    pub(crate) fn insert(&mut self, id: SourceId, socket: Socket, lingering: bool) {
        self.unwatch(id.index());
        self.entries.insert(id, Entry { socket, watched: Interest::NONE, ended: false, lingering });
    }

    /// Returns the id of the socket at `index`.
    #[inline]
    pub(crate) fn id(&self, index: usize) -> Option<SourceId> {
        self.entries.at(index).map(|(id, _)| id)
    }

    /// Takes a socket out, and from the reactor. Returns it, and whether anything unread may still come in by it.
    pub(crate) fn remove(&mut self, id: SourceId) -> Option<(Socket, bool)> {
        self.entry(id)?;
        self.unwatch(id.index());
        let entry = self.entries.remove(id)?;
        Some((entry.socket, !entry.ended && !entry.lingering))
    }

    /// Has the reactor watch the socket for `interest`.
    ///
    /// # Errors
    ///
    /// The system's error. The socket is watched as before then.
    pub(crate) fn watch(&mut self, id: SourceId, interest: Interest) -> io::Result<()> {
        let Self { registry, entries, .. } = self;
        let Some(entry) = entries.get_mut(id) else { return Ok(()) };
        registry.change(&entry.socket, id.index(), entry.watched, interest)?;
        entry.watched = interest;
        Ok(())
    }

    /// Takes away the registration of a socket that is about to leave its place.
    fn unwatch(&mut self, index: usize) {
        let Self { registry, entries, .. } = self;
        if let Some((_, entry)) = entries.at_mut(index) {
            registry.change(&entry.socket, index, entry.watched, Interest::NONE).ok();
            entry.watched = Interest::NONE;
        }
    }

    /// Takes a connection from a listener.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub(crate) fn accept(&mut self, id: SourceId) -> io::Result<(TcpStream, SocketAddr)> {
        match self.entry(id) {
            Some(Entry { socket: Socket::Listener(listener), .. }) => listener.accept(),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Receives what is there.
    ///
    /// # Errors
    ///
    /// As with [`Host::recv`](sinbin_core::Host::recv).
    #[inline]
    pub(crate) fn recv(&mut self, id: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let draining = self.draining;
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        match entry.stream().and_then(|stream| socket_io::recv(stream, buffer)) {
            Ok(0) => {
                entry.ended = true;
                Ok(0)
            }
            Ok(count) => Ok(count),
            Err(error) if is_blocked(&error) && draining && !entry.lingering => Err(IoError::Stopping),
            Err(error) => Err(entry.failed(error)),
        }
    }

    /// Sends as much as there is room for.
    ///
    /// # Errors
    ///
    /// As with [`Host::send`](sinbin_core::Host::send).
    #[inline]
    pub(crate) fn send(&mut self, id: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let sent = entry.stream().and_then(|stream| socket_io::send(stream, bytes));
        sent.map_err(|error| entry.failed(error))
    }

    /// Ends the sending direction of a connection.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub(crate) fn shutdown(&mut self, id: SourceId) -> Result<(), IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let shut = entry.stream().and_then(|stream| stream.shutdown(Shutdown::Write));
        shut.map_err(|error| entry.failed(error))
    }

    /// Returns how connecting went, of a connection that is ready to send.
    pub(crate) fn connected(&mut self, id: SourceId) -> Result<(), IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let stream = entry.stream()?;
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(error.into()),
        }
        // Without an error and without a peer, it is still under way.
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
            Socket::Listener(listener) => listener.local_addr().ok(),
            Socket::Stream(_) => None,
        })
    }

    /// Tells each connection that has nothing to read, from here on, that the host stops.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns the connections that are served.
    pub(crate) fn served(&self) -> impl Iterator<Item = SourceId> + '_ {
        let is_served = |entry: &Entry| matches!(entry.socket, Socket::Stream(_)) && !entry.lingering;
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

/// Connections that the system keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// Makes a listener that is fit for a loop. On an IPv6 address it takes IPv4 connections too if it is `dual_stack`, and none
/// otherwise, whatever the system does by default.
///
/// # Errors
///
/// When the address can't be had.
pub(crate) fn bind(address: SocketAddr, dual_stack: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows this option would let two programs have the same port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Begins to connect, and returns the connection that is under way.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Returns true if the connection is under way. EINPROGRESS has no kind of its own in the standard library.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let under_way = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let under_way = false;
    under_way || error.kind() == io::ErrorKind::WouldBlock
}

/// Makes a connection fit for a loop: nonblocking, and without delay.
///
/// # Errors
///
/// The system's error; mostly that the peer is gone.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}

/// Returns true if the system has no descriptors or memory left, which passes.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        // EMFILE and ENFILE have these numbers on every Unix; the others differ, and have a kind.
        matches!(error.raw_os_error(), Some(23 | 24)) || error.kind() == io::ErrorKind::OutOfMemory
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}
