//! UDP.

use std::cell::Cell;
#[cfg(target_os = "linux")]
use std::cell::OnceCell;
use std::net::SocketAddr;

use sinbin_core::IoError;
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Error, Handle};

#[cfg(unix)]
use super::datagram::receive;
use crate::watched::Watched;

/// A UDP socket.
///
/// The operations take a shared reference, and any number of tasks can use them at once: they are served in the order
/// of their requests. When the loop [stops](crate::task::Handle::stopping), receiving fails with
/// [`IoError::Stopping`] as soon as no datagram is left.
///
/// ```no_run
/// use sinbin::net::UdpSocket;
/// use sinbin::task::{Error, Handle};
///
/// /// Sends each datagram back to its sender.
/// async fn echo(handle: Handle<'_>) -> Result<(), Error> {
///     let socket = UdpSocket::bind(handle, "127.0.0.1:25000".parse().unwrap())?;
///     let mut buffer = [0; 2048];
///     loop {
///         match socket.recv_from(&mut buffer).await {
///             Ok((len, from)) => socket.send_to(&buffer[..len], from).await?,
///             // A datagram is too long, or an earlier one was refused: no reason to end.
///             Err(error) if !error.is_the_end() => eprintln!("{error}"),
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct UdpSocket<'d> {
    pub(super) watched: Watched<'d, std::net::UdpSocket>,
    /// True if the system joins the datagrams that are received: see [`recv_segments`](Self::recv_segments).
    pub(super) is_joining: Cell<bool>,
    /// True if the system can split what is sent, once that is known.
    #[cfg(target_os = "linux")]
    pub(super) splits: OnceCell<bool>,
}

impl<'d> UdpSocket<'d> {
    /// Creates a socket that is bound to `address`. Port 0 means any free port.
    ///
    /// # Errors
    ///
    /// Fails with the address and the system's error if it can't be bound.
    pub fn bind(handle: Handle<'d>, address: SocketAddr) -> Result<Self, Error> {
        let failed = |error| Error::Address { op: Op::Listen, address, error };
        let socket = std::net::UdpSocket::bind(address).map_err(|error| failed(error.into()))?;
        Self::adopt(handle, socket)
    }

    /// Adds a socket that was made elsewhere.
    ///
    /// # Errors
    ///
    /// Fails with the system's error if the socket can't be made nonblocking, and if the loop has no slot for another
    /// source.
    pub fn adopt(handle: Handle<'d>, socket: std::net::UdpSocket) -> Result<Self, Error> {
        socket.set_nonblocking(true).map_err(|error| wait_failed(error.into()))?;
        let watched = Watched::new(handle, socket, true)?;
        Ok(Self {
            watched,
            is_joining: Cell::new(false),
            #[cfg(target_os = "linux")]
            splits: OnceCell::new(),
        })
    }

    /// Sets the peer of the socket: [`send`](Self::send) sends to it, and datagrams of others are not received. The
    /// system reports a peer whose port is closed as an error of a later operation.
    ///
    /// # Errors
    ///
    /// Fails with the address and the system's error.
    pub fn connect(&self, address: SocketAddr) -> Result<(), Error> {
        let connected = self.socket().connect(address);
        connected.map_err(|error| Error::Address { op: Op::Connect, address, error: error.into() })
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        self.socket().local_addr().map_err(|error| wait_failed(error.into()))
    }

    /// Returns the socket of the standard library, for its options. It must stay nonblocking.
    #[must_use]
    pub fn socket(&self) -> &std::net::UdpSocket {
        self.watched.get()
    }

    /// Sends a datagram to `to`.
    ///
    /// # Errors
    ///
    /// Fails with the address and the system's error, for example if the datagram is too long for the network.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Error> {
        let sent = self.watched.send(|socket| socket.send_to(bytes, to).map_err(IoError::from)).await;
        sent.map(|_| ()).map_err(|error| with_address(error, Op::Send, to))
    }

    /// Sends a datagram to the peer that the socket is connected to.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.watched.send(|socket| socket.send(bytes).map_err(IoError::from)).await.map(|_| ())
    }

    /// Receives a datagram, and returns its length and the address of its sender. An empty datagram has the length 0.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::TooLong`] and the address of the sender if the datagram is larger than the buffer. The
    /// system has discarded the rest, and the buffer contains the beginning. Fails with the system's error, which may
    /// be that of an earlier send, and returns a [`WaitError`](crate::task::WaitError) if the task must not wait.
    /// Fails with [`IoError::Unsupported`] after a call of [`recv_segments`](Self::recv_segments).
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let too_long = Cell::new(None);
        let received = self.watched.recv(|socket| {
            self.check_single()?;
            receive_from(socket, buffer, &too_long)
        });
        let received = received.await;
        received.map_err(|error| match too_long.get() {
            Some(from) => with_address(error, Op::Recv, from),
            None => error,
        })
    }

    /// Receives a datagram as [`recv_from`](Self::recv_from) does, and returns its length.
    ///
    /// # Errors
    ///
    /// Fails as [`recv_from`](Self::recv_from) does.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.recv_from(buffer).await.map(|(len, _)| len)
    }

    /// Receives a datagram, if one is available now.
    ///
    /// # Errors
    ///
    /// Fails as [`recv_from`](Self::recv_from) does.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddr)>, Error> {
        let too_long = Cell::new(None);
        let received = self.check_single().and_then(|()| receive_from(self.socket(), buffer, &too_long));
        match received {
            Ok(received) => Ok(Some(received)),
            Err(IoError::WouldBlock) => Ok(None),
            Err(error) => Err(match too_long.get() {
                Some(address) => Error::Address { op: Op::Recv, address, error },
                None => failed(Op::Recv, &self.watched, error),
            }),
        }
    }

    /// Checks that a datagram that is received is one.
    fn check_single(&self) -> Result<(), IoError> {
        if self.is_joining.get() { Err(IoError::Unsupported) } else { Ok(()) }
    }
}

#[cfg(unix)]
pub(super) fn receive_from(
    socket: &std::net::UdpSocket,
    buffer: &mut [u8],
    too_long: &Cell<Option<SocketAddr>>,
) -> Result<(usize, SocketAddr), IoError> {
    let datagram = receive(socket, buffer)?;
    // Each datagram has an address.
    let from = datagram.from.clone().and_then(|from| SocketAddr::try_from(from).ok());
    let from = from.ok_or(IoError::Unsupported)?;
    let len = datagram.len().inspect_err(|_| too_long.set(Some(from)))?;
    Ok((len, from))
}

/// Receives a datagram. The system does not say who has sent one that is too long.
#[cfg(windows)]
pub(super) fn receive_from(
    socket: &std::net::UdpSocket,
    buffer: &mut [u8],
    _: &Cell<Option<SocketAddr>>,
) -> Result<(usize, SocketAddr), IoError> {
    socket.recv_from(buffer).map_err(|error| super::datagram::failed(&error))
}

/// Adds the address of the peer to an error of the system.
pub(super) fn with_address(error: Error, op: Op, address: SocketAddr) -> Error {
    match error {
        Error::Failed(Failure { error, .. }) if error != IoError::Stopping => {
            Error::Address { op, address, error }
        }
        error => error,
    }
}

fn failed<T: crate::sockets::Object + 'static>(op: Op, watched: &Watched<'_, T>, error: IoError) -> Error {
    Error::Failed(Failure { op, source: watched.conn().source(), error })
}

/// Returns an error of a socket that is not a source of the loop yet.
pub(super) fn wait_failed(error: IoError) -> Error {
    Error::Failed(Failure { op: Op::Wait, source: sinbin_core::SourceId::from_bits(u64::MAX), error })
}

#[cfg(unix)]
impl std::os::fd::AsFd for UdpSocket<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket().as_fd()
    }
}
