//! Receiving datagrams, and noticing that one is larger than the buffer.

use std::io;

use sinbin_core::IoError;

/// Receives a datagram, and returns its length and the address of its sender. Fails with [`IoError::TooLong`] and the
/// address if the datagram is larger than the buffer, which then contains its beginning.
#[cfg(unix)]
pub(super) fn receive(
    socket: impl rustix::fd::AsFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<rustix::net::SocketAddrAny>), Cut> {
    use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};

    let mut control = RecvAncillaryBuffer::default();
    let buffers = &mut [io::IoSliceMut::new(buffer)];
    let message = recvmsg(socket, buffers, &mut control, RecvFlags::empty());
    let message = message.map_err(|error| Cut { from: None, error: io::Error::from(error).into() })?;
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(Cut { from: message.address, error: IoError::TooLong });
    }
    Ok((message.bytes, message.address))
}

/// The reason why a datagram was not received as a whole.
#[cfg(unix)]
pub(super) struct Cut {
    /// The sender of a datagram that is too long.
    pub(super) from: Option<rustix::net::SocketAddrAny>,
    pub(super) error: IoError,
}

#[cfg(unix)]
impl From<Cut> for IoError {
    fn from(cut: Cut) -> Self {
        cut.error
    }
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
