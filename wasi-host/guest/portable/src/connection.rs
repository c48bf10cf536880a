//! A connection's two streams.

use core::net::SocketAddr;

use sinbin_core::{Interest, IoError};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::sockets::tcp::{ShutdownType, TcpSocket};

use crate::address::from_wasi;
use crate::poller::yield_to_host;

/// How many bytes are read first. A host makes room for as much as it is asked for, and most requests are short.
const SIP: usize = 2048;

/// A connection. The order of its fields is the order that children are dropped in, before their parent: a host traps
/// otherwise.
pub struct Connection {
    /// Made when they are first waited for, and kept: each costs a call.
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

    /// Returns the peer's address, if that can be told.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket.remote_address().ok().map(from_wasi)
    }

    /// Receives what is there; 0 is the end of the stream.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> Result<usize, IoError> {
        let (sip, more) = buffer.split_at_mut(buffer.len().min(SIP));
        let count = self.read(sip)?.ok_or(IoError::WouldBlock)?;
        if count < sip.len() || more.is_empty() {
            return Ok(count);
        }
        // How this one fails, the next receive is told again.
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

    /// Sends as much as there is room for.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, IoError> {
        let broken = |_| IoError::Reset;
        let room = usize::try_from(self.room().map_err(broken)?).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(IoError::WouldBlock);
        }
        let count = bytes.len().min(room);
        self.output.write(&bytes[..count]).map_err(broken)?;
        // A host may keep back what is not flushed.
        self.output.flush().map_err(broken)?;
        Ok(count)
    }

    /// How much may be sent. A host also says 0 where it has done enough for one go: were that taken for a full
    /// connection, nobody might ever send.
    fn room(&self) -> Result<u64, StreamError> {
        match self.output.check_write()? {
            0 => {
                yield_to_host();
                self.output.check_write()
            }
            room => Ok(room),
        }
    }

    /// Ends the sending direction, behind what was sent.
    pub(crate) fn shutdown(&self) -> bool {
        self.socket.shutdown(ShutdownType::Send).is_ok()
    }

    /// Returns true while the host is still sending what it took.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.room(), Ok(0))
    }

    /// Makes the pollables for `interest` that are not there yet.
    pub(crate) fn watch(&mut self, interest: Interest) {
        if interest.contains(Interest::RECV) {
            self.readable.get_or_insert_with(|| self.input.subscribe());
        }
        if interest.contains(Interest::SEND) {
            self.writable.get_or_insert_with(|| self.output.subscribe());
        }
    }

    /// Ready when something can be received.
    pub(crate) fn readable(&self) -> Option<&Pollable> {
        self.readable.as_ref()
    }

    /// Ready when something can be sent.
    pub(crate) fn writable(&self) -> Option<&Pollable> {
        self.writable.as_ref()
    }
}
