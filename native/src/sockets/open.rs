//! Creating sockets, and preparing those that were made elsewhere.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use sinbin_core::IoError;
use socket2::{Domain, Protocol, Type};

use super::socket::{Shared, Socket};

/// The number of connections that the system queues until they are accepted.
pub(super) const BACKLOG: i32 = 1024;

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

/// Connects to a Unix socket. The system does this at once, or fails with `EAGAIN` if the backlog is full.
#[cfg(unix)]
pub(crate) fn connect_path(path: &str) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&socket2::SockAddr::unix(path)?)?;
    Ok(TcpStream::from(std::os::fd::OwnedFd::from(socket)))
}

/// Takes a socket that was made elsewhere out of `connection`, an `Option`, and makes it nonblocking.
///
/// # Errors
///
/// Fails with the error of the system, and with [`IoError::Unsupported`] if the type is not known.
pub(crate) fn adopt(connection: &mut dyn Any) -> Result<Socket, IoError> {
    if let Some(shared) = take::<Shared>(connection) {
        return Ok(Socket::Shared(Box::new(shared)));
    }
    if let Some(stream) = take::<TcpStream>(connection) {
        prepare(&stream)?;
        return Ok(Socket::Stream(stream));
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
            return Ok(Socket::Stream(stream));
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

/// Prepares a connection that a listener has accepted. Without the address of a peer, it is a Unix socket.
///
/// # Errors
///
/// Fails as [`prepare`] does.
pub(crate) fn prepare_accepted(stream: &TcpStream, peer: Option<SocketAddr>) -> io::Result<()> {
    match peer {
        Some(_) => prepare(stream),
        None => Ok(()),
    }
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
