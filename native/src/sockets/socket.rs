//! The kinds of sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

#[cfg(feature = "tls")]
use super::tls_stream::TlsStream;
#[cfg(unix)]
use super::unix::UnixPathListener;
#[cfg(feature = "tls")]
use crate::tls::TlsAcceptor;

#[cfg(unix)]
pub(crate) use std::os::fd::{AsFd as AsDescriptor, BorrowedFd as Descriptor};
#[cfg(windows)]
pub(crate) use std::os::windows::io::{AsSocket as AsDescriptor, BorrowedSocket as Descriptor};

/// A socket that can be watched.
#[derive(Debug)]
pub(crate) enum Socket {
    /// A socket that accepts connections.
    Listener(Listening),
    /// A connection. The system calls of a TCP stream are those of a Unix stream, too.
    Stream(TcpStream),
    /// An object that a task operates itself, such as a datagram socket or a pipe.
    Shared(Box<Shared>),
    /// A connection whose peer speaks TLS.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

/// A nonblocking socket that accepts connections.
#[derive(Debug)]
pub(crate) enum Listening {
    /// A listener on an address.
    Tcp(TcpListener),
    /// A listener on a path.
    #[cfg(unix)]
    Unix(Box<UnixPathListener>),
    /// A listener whose clients speak TLS.
    #[cfg(feature = "tls")]
    Tls(Box<(Self, TlsAcceptor)>),
}

/// A connection that a listener has accepted, and the address of its peer.
pub(crate) type Accepted = (TcpStream, Option<SocketAddr>);

impl Listening {
    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub(crate) fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, peer)| (stream, Some(peer))),
            #[cfg(unix)]
            Self::Unix(listener) => Ok((TcpStream::from(listener.accept()?), None)),
            #[cfg(feature = "tls")]
            Self::Tls(listener) => listener.0.accept(),
        }
    }

    /// Makes the listener nonblocking. A listener on a path is so already.
    ///
    /// # Errors
    ///
    /// Returns the error of the system.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            #[cfg(unix)]
            Self::Unix(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(listener) => listener.0.set_nonblocking(),
        }
    }

    /// Returns the address that the listener is bound to, if it is bound to an address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(listener) => listener.0.address(),
        }
    }
}

/// An object that both a task and the table of sockets have.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) object: Arc<dyn Object>,
    /// True if waits for input end when the loop stops.
    pub(crate) drains: bool,
}

/// An object with a descriptor that never changes. Only types of this crate and of the standard library implement the
/// trait, because a changing descriptor would break the registration with the reactor.
pub(crate) trait Object: AsDescriptor + Send + Sync + std::fmt::Debug {}

impl Object for std::net::UdpSocket {}
#[cfg(unix)]
impl Object for std::os::unix::net::UnixDatagram {}
#[cfg(unix)]
impl Object for std::os::fd::OwnedFd {}

impl Listening {
    /// Returns the descriptor.
    pub(crate) fn descriptor(&self) -> Descriptor<'_> {
        match self {
            Self::Tcp(listener) => descriptor(listener),
            #[cfg(unix)]
            Self::Unix(listener) => descriptor(listener),
            #[cfg(feature = "tls")]
            Self::Tls(listener) => listener.0.descriptor(),
        }
    }
}

// The table has an entry for each connection: what is rare is boxed, so that it makes no connection larger.
const _: () = assert!(size_of::<Socket>() <= 16);

impl Socket {
    /// Returns the descriptor.
    pub(crate) fn descriptor(&self) -> Descriptor<'_> {
        match self {
            Self::Listener(listener) => listener.descriptor(),
            Self::Stream(stream) => descriptor(stream),
            Self::Shared(shared) => descriptor(&*shared.object),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => descriptor(&tls.stream),
        }
    }
}

/// Returns the descriptor of an object, whatever the system calls it.
pub(crate) fn descriptor<T: AsDescriptor + ?Sized>(object: &T) -> Descriptor<'_> {
    #[cfg(unix)]
    return object.as_fd();
    #[cfg(windows)]
    return object.as_socket();
}
