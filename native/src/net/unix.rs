//! Unix datagrams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use sinbin_core::IoError;
use sinbin_core::kernel::Op;
use sinbin_core::task::{Endpoint, Error, Handle};
use socket2::Type;

use super::datagram::receive;
use super::udp::wait_failed;
use crate::sockets::{OwnPath, bind_path};
use crate::watched::Watched;

/// A Unix datagram socket, as [`UdpSocket`](crate::net::UdpSocket) is one of UDP. The path that it was bound to is
/// removed when the socket is dropped.
#[derive(Debug)]
pub struct UnixDatagram<'d> {
    watched: Watched<'d, std::os::unix::net::UnixDatagram>,
    _path: Option<OwnPath>,
}

impl<'d> UnixDatagram<'d> {
    /// Creates a socket at `path`. Anything that exists at the path is left alone, unless it is a socket that no process
    /// has any more.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error: [`IoError::AddressInUse`] if the path exists and is left alone.
    pub fn bind(handle: Handle<'d>, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let (socket, own) =
            bind_path(path, Type::DGRAM).map_err(|error| at(Op::Listen, path, error.into()))?;
        let watched = Watched::new(handle, OwnedFd::from(socket).into(), true)?;
        Ok(Self { watched, _path: Some(own) })
    }

    /// Creates a socket without a path, which can send, and receive from a socket that it is connected to.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    pub fn unbound(handle: Handle<'d>) -> Result<Self, Error> {
        let socket =
            std::os::unix::net::UnixDatagram::unbound().map_err(|error| wait_failed(error.into()))?;
        Self::adopt(handle, socket)
    }

    /// Adds a socket that was made elsewhere, such as one of a pair. Its path is left alone.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, and if the loop has no slot for another source.
    pub fn adopt(handle: Handle<'d>, socket: std::os::unix::net::UnixDatagram) -> Result<Self, Error> {
        socket.set_nonblocking(true).map_err(|error| wait_failed(error.into()))?;
        Ok(Self { watched: Watched::new(handle, socket, true)?, _path: None })
    }

    /// Sets the peer of the socket, to which [`send`](Self::send) sends.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub fn connect(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.watched.get().connect(path).map_err(|error| at(Op::Connect, path, error.into()))
    }

    /// Sends a datagram to the socket at `to`, and waits while its queue is full.
    ///
    /// # Errors
    ///
    /// Fails with the path and the system's error.
    pub async fn send_to(&self, bytes: &[u8], to: impl AsRef<Path>) -> Result<(), Error> {
        let to = to.as_ref();
        let sent = self.watched.send(|socket| socket.send_to(bytes, to).map_err(IoError::from)).await;
        sent.map(|_| ()).map_err(|error| match error.io() {
            Some(error) => at(Op::Send, to, error),
            None => error,
        })
    }

    /// Sends a datagram to the peer that the socket is connected to.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.watched.send(|socket| socket.send(bytes).map_err(IoError::from)).await.map(|_| ())
    }

    /// Receives a datagram, and returns its length and the path of its sender, if it has one.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::TooLong`] if the datagram is larger than the buffer, which then contains its beginning, and
    /// with the system's error.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, Option<PathBuf>), Error> {
        let receive = |socket: &_| {
            let datagram = receive(socket, buffer)?;
            Ok((datagram.len()?, datagram.from))
        };
        let (len, from) = self.watched.recv(receive).await?;
        let from = from.and_then(|from| rustix::net::SocketAddrUnix::try_from(from).ok());
        let path = from.as_ref().and_then(rustix::net::SocketAddrUnix::path);
        let path = path.map(|path| PathBuf::from(path_text(&path)));
        Ok((len, path))
    }

    /// Receives a datagram, and returns its length.
    ///
    /// # Errors
    ///
    /// Fails as [`recv_from`](Self::recv_from) does.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.watched.recv(|socket| receive(socket, buffer)?.len()).await
    }

    /// Returns the socket of the standard library, for its options. It must stay nonblocking.
    #[must_use]
    pub fn socket(&self) -> &std::os::unix::net::UnixDatagram {
        self.watched.get()
    }
}

fn path_text(path: &std::ffi::CStr) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(path.to_bytes().to_vec())
}

/// Returns the error of an operation on a path.
fn at(op: Op, path: &Path, error: IoError) -> Error {
    let text = path.to_string_lossy();
    Error::endpoint(op, Endpoint::Path(&text), error)
}

impl AsFd for UnixDatagram<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.get().as_fd()
    }
}
