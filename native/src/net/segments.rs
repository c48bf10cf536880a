//! Many datagrams in few system calls.

use std::cell::Cell;
use std::net::SocketAddr;

use sinbin_core::IoError;
use sinbin_core::kernel::Op;
use sinbin_core::task::Error;

#[cfg(target_os = "linux")]
use super::segmentation;
use super::udp::{UdpSocket, with_address};

/// Datagrams of one sender that were received together: see [`UdpSocket::recv_segments`].
#[derive(Clone, Copy, Debug)]
pub struct Segments<'b> {
    bytes: &'b [u8],
    size: usize,
    from: SocketAddr,
}

impl<'b> Segments<'b> {
    /// Returns the address of the sender.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        self.from
    }

    /// Returns the size of each datagram, in bytes. The last one may be smaller.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Returns the bytes of all datagrams.
    #[must_use]
    pub const fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Returns the datagrams in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'b [u8]> + use<'b> {
        let Self { bytes, size, .. } = *self;
        // A single datagram may be empty.
        let count = bytes.len().div_ceil(size).max(1);
        (0..count).map(move |index| &bytes[index * size..bytes.len().min((index + 1) * size)])
    }
}

impl UdpSocket<'_> {
    /// Sends `bytes` to `to` as datagrams of `size` bytes each, in their order. The last one may be smaller. On Linux,
    /// one system call sends up to 64 of them (GSO), and as many bytes as a single datagram can have. Elsewhere, and
    /// where the network does not support this, each takes one. Sends nothing if `bytes` is empty. A future that is dropped
    /// may have sent some.
    ///
    /// # Errors
    ///
    /// Fails as [`send_to`](Self::send_to) does.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    pub async fn send_segments(&self, bytes: &[u8], size: usize, to: SocketAddr) -> Result<(), Error> {
        assert!(size > 0, "a datagram has a size");
        let splits = Cell::new(self.splits());
        let mut left = bytes;
        while !left.is_empty() {
            let sent = self.watched.send(|socket| send_some(socket, left, size, to, &splits)).await;
            let sent = sent.map_err(|error| with_address(error, Op::Send, to))?;
            left = &left[sent..];
        }
        Ok(())
    }

    /// Receives one datagram or more into `buffer`. On Linux, the system joins datagrams of the same sender and size
    /// that arrive together (GRO), up to the 64 KiB that a buffer should have, so that one system call receives them.
    /// Elsewhere, one datagram is received. From the first call on, [`recv_from`](Self::recv_from),
    /// [`recv`](Self::recv) and [`try_recv_from`](Self::try_recv_from) fail with [`IoError::Unsupported`], because they
    /// could not separate the datagrams.
    ///
    /// # Errors
    ///
    /// Fails as [`recv_from`](Self::recv_from) does. All datagrams of the call are lost with [`IoError::TooLong`].
    ///
    /// ```no_run
    /// use sinbin::net::UdpSocket;
    /// use sinbin::task::Error;
    ///
    /// /// Sends all datagrams back, except empty ones.
    /// async fn echo(socket: &UdpSocket<'_>) -> Result<(), Error> {
    ///     let mut buffer = vec![0; 64 * 1024];
    ///     loop {
    ///         let received = socket.recv_segments(&mut buffer).await?;
    ///         socket.send_segments(received.bytes(), received.size(), received.from()).await?;
    ///     }
    /// }
    /// ```
    pub async fn recv_segments<'b>(&self, buffer: &'b mut [u8]) -> Result<Segments<'b>, Error> {
        let too_long = Cell::new(None);
        let received = self.watched.recv(|socket| {
            self.join()?;
            receive(socket, buffer, &too_long)
        });
        match received.await {
            Ok((len, size, from)) => Ok(Segments { bytes: &buffer[..len], size: size.max(1), from }),
            Err(error) => Err(match too_long.get() {
                Some(from) => with_address(error, Op::Recv, from),
                None => error,
            }),
        }
    }

    /// Returns true if the system can split what is sent into datagrams.
    fn splits(&self) -> bool {
        #[cfg(target_os = "linux")]
        return *self.splits.get_or_init(|| segmentation::can_split(self.socket()));
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Lets the system join datagrams.
    fn join(&self) -> Result<(), IoError> {
        #[cfg(target_os = "linux")]
        if !self.is_joining.get() {
            segmentation::join(self.socket())?;
        }
        self.is_joining.set(true);
        Ok(())
    }
}

/// Sends one datagram or more. Returns the number of bytes. `splits` becomes false if the network does not let the
/// system split the bytes.
fn send_some(
    socket: &std::net::UdpSocket,
    bytes: &[u8],
    size: usize,
    to: SocketAddr,
    splits: &Cell<bool>,
) -> Result<usize, IoError> {
    #[cfg(target_os = "linux")]
    if splits.get() && bytes.len() > size {
        let count = segmentation::send(socket, bytes, size, to)?;
        if let Some(count) = count {
            return Ok(count);
        }
    }
    splits.set(false);
    let datagram = &bytes[..bytes.len().min(size)];
    socket.send_to(datagram, to).map_err(IoError::from)
}

/// Receives one datagram or more. Returns the number of bytes, the size of each, and the sender.
fn receive(
    socket: &std::net::UdpSocket,
    buffer: &mut [u8],
    too_long: &Cell<Option<SocketAddr>>,
) -> Result<(usize, usize, SocketAddr), IoError> {
    #[cfg(target_os = "linux")]
    return segmentation::receive(socket, buffer, too_long);
    #[cfg(not(target_os = "linux"))]
    super::udp::receive_from(socket, buffer, too_long).map(|(len, from)| (len, len, from))
}
