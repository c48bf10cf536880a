//! The sockets of a loop, each under the id that the kernel assigned to its source.

use std::any::Any;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use sinbin_core::{IdMap, Interest, IoError, SourceId};
use socket2::{Domain, Protocol, Type};

use crate::reactor::{Reactor, Registry};
use crate::socket_io;

/// A socket that can be watched.
#[derive(Debug)]
pub(crate) enum Socket {
    /// A socket that accepts connections.
    Listener(TcpListener),
    /// A connection.
    Stream(TcpStream),
}

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
}

impl Sockets {
    /// Creates a table with capacity for `limit` sockets, which `reactor` watches.
    pub(crate) fn new(limit: usize, reactor: &Reactor) -> Self {
        Self { registry: reactor.registry(), entries: IdMap::with_capacity(limit), draining: false }
    }

    /// Inserts a nonblocking socket. Set `lingering` if the input of the connection is to be discarded.
    pub(crate) fn insert(&mut self, id: SourceId, socket: Socket, lingering: bool) {
        self.unwatch(id.index());
        self.entries.insert(id, Entry { socket, watched: Interest::NONE, ended: false, lingering });
    }

    /// Returns the id of the socket at `index`.
    #[inline]
    pub(crate) fn id(&self, index: usize) -> Option<SourceId> {
        self.entries.at(index).map(|(id, _)| id)
    }

    /// Removes a socket from the table and from the reactor. Returns the socket, and true if unread bytes may still
    /// arrive.
    pub(crate) fn remove(&mut self, id: SourceId) -> Option<(Socket, bool)> {
        self.entry(id)?;
        self.unwatch(id.index());
        let entry = self.entries.remove(id)?;
        Some((entry.socket, !entry.ended && !entry.lingering))
    }

    /// Makes the reactor watch the socket for `interest`.
    ///
    /// # Errors
    ///
    /// Returns the error of the system. The interest that is watched is then unchanged.
    pub(crate) fn watch(&mut self, id: SourceId, interest: Interest) -> io::Result<()> {
        let Self { registry, entries, .. } = self;
        let Some(entry) = entries.get_mut(id) else { return Ok(()) };
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
    pub(crate) fn accept(&mut self, id: SourceId) -> io::Result<(TcpStream, SocketAddr)> {
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

    /// Sends as many bytes as the connection accepts.
    ///
    /// # Errors
    ///
    /// Fails as [`Host::send`](sinbin_core::Host::send) does.
    #[inline]
    pub(crate) fn send(&mut self, id: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let sent = entry.stream().and_then(|stream| socket_io::send(stream, bytes));
        sent.map_err(|error| entry.failed(error))
    }

    /// Shuts down the sending direction of a connection.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub(crate) fn shutdown(&mut self, id: SourceId) -> Result<(), IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
        let shut = entry.stream().and_then(|stream| stream.shutdown(Shutdown::Write));
        shut.map_err(|error| entry.failed(error))
    }

    /// Returns the result of connecting. Called when the connection is ready to send.
    pub(crate) fn connected(&mut self, id: SourceId) -> Result<(), IoError> {
        let entry = self.entry(id).ok_or(IoError::Closed)?;
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
            Socket::Listener(listener) => listener.local_addr().ok(),
            Socket::Stream(_) => None,
        })
    }

    /// From now on, makes receiving fail with [`IoError::Stopping`] on connections that have nothing to read.
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

/// The number of connections that the system queues until they are accepted.
const BACKLOG: i32 = 1024;

/// Creates a nonblocking listener. On an IPv6 address, it accepts IPv4 connections only if `dual_stack` is set,
/// whatever the default of the system is.
///
/// # Errors
///
/// Fails if the address cannot be bound.
pub(crate) fn bind(address: SocketAddr, dual_stack: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows, this option would allow two programs to bind the same port.
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

/// Starts to connect, and returns the connection before it is established.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Takes a stream socket that was made elsewhere out of `connection`, an `Option`, and makes it nonblocking.
///
/// # Errors
///
/// Fails with the error of the system, and with [`IoError::Unsupported`] if the type is not known.
pub(crate) fn adopt(connection: &mut dyn Any) -> Result<TcpStream, IoError> {
    if let Some(stream) = take::<TcpStream>(connection) {
        prepare(&stream)?;
        return Ok(stream);
    }
    #[cfg(unix)]
    {
        use std::os::fd::OwnedFd;
        use std::os::unix::net::UnixStream;

        let descriptor = take::<UnixStream>(connection).map(OwnedFd::from);
        if let Some(descriptor) = descriptor.or_else(|| take::<OwnedFd>(connection)) {
            // The system calls are those of a TCP stream, whatever the family of the socket is.
            let stream = TcpStream::from(descriptor);
            stream.set_nonblocking(true)?;
            return Ok(stream);
        }
    }
    Err(IoError::Unsupported)
}

/// Takes the value out of an `Option<T>`.
fn take<T: 'static>(value: &mut dyn Any) -> Option<T> {
    value.downcast_mut::<Option<T>>().and_then(Option::take)
}

/// Returns true if the connection is being established. The standard library has no error kind for EINPROGRESS.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let under_way = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let under_way = false;
    under_way || error.kind() == io::ErrorKind::WouldBlock
}

/// Prepares a connection for a loop: makes it nonblocking, and disables Nagle's algorithm.
///
/// # Errors
///
/// Returns the error of the system, usually because the peer has disconnected.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}

/// Returns true if the system has run out of descriptors or memory, which is a temporary condition.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        // EMFILE and ENFILE have these numbers on every Unix. The other error numbers differ, but have an error kind.
        matches!(error.raw_os_error(), Some(23 | 24)) || error.kind() == io::ErrorKind::OutOfMemory
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::OutOfMemory
    }
}
