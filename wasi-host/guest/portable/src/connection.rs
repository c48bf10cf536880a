//! A connection: a socket and its two streams.

use core::net::SocketAddr;

use sinbin_core::{Interest, IoError};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::sockets::tcp::{ShutdownType, TcpSocket};

use crate::address::from_wasi;
use crate::poller::yield_to_host;

/// The size of the first read, in bytes. A host allocates as many bytes as a read requests, and most requests are
/// short.
const SIP: usize = 2048;

/// A connection. The fields are dropped in their order, so that children are dropped before their parent: otherwise the
/// host traps.
pub struct Connection {
    /// The pollables. They are created at their first use, and kept, since creating one takes a call to the host.
    readable: Option<Pollable>,
    writable: Option<Pollable>,
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
}

impl Connection {
    pub(crate) fn new(socket: TcpSocket, input: InputStream, output: OutputStream) -> Self {
        Self { readable: None, writable: None, input, output, socket }
    }

    /// Returns the peer's address, or `None` if the host does not provide it.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket.remote_address().ok().map(from_wasi)
    }

    /// Receives the available bytes. Returns 0 at the end of the stream.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> Result<usize, IoError> {
        let (sip, more) = buffer.split_at_mut(buffer.len().min(SIP));
        let count = self.read(sip)?.ok_or(IoError::WouldBlock)?;
        if count < sip.len() || more.is_empty() {
            return Ok(count);
        }
        // If this read fails, the next receive reports the error.
        Ok(count + self.read(more).ok().flatten().unwrap_or(0))
    }

    fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, IoError> {
        match self.input.read(buffer.len() as u64) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(Some(bytes.len()))
            }
            Err(StreamError::Closed) => Ok(Some(0)),
            Err(StreamError::LastOperationFailed(_)) => Err(IoError::Reset),
        }
    }

    /// Sends as many bytes as possible without blocking. Returns their number.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, IoError> {
        let broken = |_| IoError::Reset;
        let room = usize::try_from(self.room().map_err(broken)?).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(IoError::WouldBlock);
        }
        let count = bytes.len().min(room);
        self.output.write(&bytes[..count]).map_err(broken)?;
        // A host may hold back bytes that are not flushed.
        self.output.flush().map_err(broken)?;
        Ok(count)
    }

    /// Returns the number of bytes that can be sent. A host also returns 0 if its budget of operations is used up: if
    /// that were treated as a full connection, the guest might never send anything.
    fn room(&self) -> Result<u64, StreamError> {
        match self.output.check_write()? {
            0 => {
                yield_to_host();
                self.output.check_write()
            }
            room => Ok(room),
        }
    }

    /// Ends the sending direction, after the bytes sent before. Returns true if that succeeds.
    pub(crate) fn shutdown(&self) -> bool {
        self.socket.shutdown(ShutdownType::Send).is_ok()
    }

    /// Returns true while the host is still sending bytes that it has accepted.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.room(), Ok(0))
    }

    /// Creates the pollables for `interest` that do not exist yet.
    pub(crate) fn watch(&mut self, interest: Interest) {
        if interest.contains(Interest::RECV) {
            self.readable.get_or_insert_with(|| self.input.subscribe());
        }
        if interest.contains(Interest::SEND) {
            self.writable.get_or_insert_with(|| self.output.subscribe());
        }
    }

    /// Returns the pollable that is ready if bytes can be received.
    pub(crate) fn readable(&self) -> Option<&Pollable> {
        self.readable.as_ref()
    }

    /// Returns the pollable that is ready if bytes can be sent.
    pub(crate) fn writable(&self) -> Option<&Pollable> {
        self.writable.as_ref()
    }
}
