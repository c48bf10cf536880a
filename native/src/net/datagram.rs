//! Receiving datagrams, and noticing that one is larger than the buffer.

use std::io;

use sinbin_core::IoError;

/// A datagram that was received.
#[cfg(unix)]
pub(super) struct Datagram {
    len: usize,
    /// True if the datagram is larger than the buffer, which contains its beginning.
    is_cut: bool,
    pub(super) from: Option<rustix::net::SocketAddrAny>,
}

#[cfg(unix)]
impl Datagram {
    /// Returns the length.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::TooLong`] if the datagram is larger than the buffer.
    pub(super) fn len(&self) -> Result<usize, IoError> {
        if self.is_cut { Err(IoError::TooLong) } else { Ok(self.len) }
    }
}

/// Receives a datagram. Linux returns the whole length of one that it cuts, which costs less than a message with flags.
#[cfg(target_os = "linux")]
pub(super) fn receive(socket: impl rustix::fd::AsFd, buffer: &mut [u8]) -> Result<Datagram, IoError> {
    use rustix::net::{RecvFlags, recvfrom};

    let (len, whole, from) = recvfrom(socket, buffer, RecvFlags::TRUNC).map_err(io::Error::from)?;
    Ok(Datagram { len, is_cut: whole > len, from })
}

/// Receives a datagram.
#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn receive(socket: impl rustix::fd::AsFd, buffer: &mut [u8]) -> Result<Datagram, IoError> {
    use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};

    let mut control = RecvAncillaryBuffer::default();
    let buffers = &mut [io::IoSliceMut::new(buffer)];
    let message = recvmsg(socket, buffers, &mut control, RecvFlags::empty()).map_err(io::Error::from)?;
    let is_cut = message.flags.contains(ReturnFlags::TRUNC);
    Ok(Datagram { len: message.bytes, is_cut, from: message.address })
}

/// Returns the error of the system as one of a task. On Windows, it reports a datagram that is larger than the buffer.
#[cfg(windows)]
pub(super) fn failed(error: &io::Error) -> IoError {
    /// WSAEMSGSIZE.
    const TOO_LONG: i32 = 10040;
    match error.raw_os_error() {
        Some(TOO_LONG) => IoError::TooLong,
        Some(code) if error.kind() != io::ErrorKind::WouldBlock => IoError::Os(code),
        _ => IoError::WouldBlock,
    }
}
