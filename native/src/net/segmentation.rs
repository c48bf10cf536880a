//! The calls of Linux that split what is sent into datagrams (GSO), and join those that are received (GRO).

#![allow(unsafe_code, reason = "neither rustix nor socket2 has the option and the message for the sizes")]

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use sinbin_core::IoError;
use socket2::{MsgHdr, SockAddr, SockRef};

/// The maximum number of datagrams in a call, in all versions of Linux.
const MAX_SEGMENTS: usize = 64;

/// The maximum number of bytes in a call: those of one datagram by IPv4.
const MAX_BYTES: usize = 65_507;

/// The size of the length in a control message, to which messages are aligned.
const WORD: usize = size_of::<usize>();

/// The size of a control message without its data: its length, the protocol and the type.
const HEADER: usize = WORD + 8;

/// The size of the buffer for control messages.
const CONTROL: usize = 128;

/// Asks the system to join datagrams that are received. Systems before Linux 5.0 cannot, and receive them one by one.
pub(super) fn join(socket: &UdpSocket) -> io::Result<()> {
    match set(socket, libc::UDP_GRO, 1) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
        result => result,
    }
}

/// Returns true if the system can split what is sent. Systems before Linux 4.18 would send it as one datagram.
pub(super) fn can_split(socket: &UdpSocket) -> bool {
    // 0 is the default: nothing is split without a control message.
    set(socket, libc::UDP_SEGMENT, 0).is_ok()
}

/// Sets an option of UDP.
fn set(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "the length of an int")]
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer and the length are those of a value that outlives the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, option, (&raw const value).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends the front of `bytes` as datagrams of `size` bytes. Returns the number of bytes, or `None` if the system or the
/// network does not support it for this size.
pub(super) fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    size: usize,
    to: SocketAddr,
) -> Result<Option<usize>, IoError> {
    let most = MAX_SEGMENTS.min(MAX_BYTES / size);
    let Some(segment) = u16::try_from(size).ok().filter(|_| most > 1) else { return Ok(None) };
    let piece = &bytes[..bytes.len().min(most * size)];
    let mut control = [0; HEADER + WORD];
    control[..WORD].copy_from_slice(&(HEADER + size_of_val(&segment)).to_ne_bytes());
    control[WORD..WORD + 4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    control[WORD + 4..HEADER].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    control[HEADER..HEADER + 2].copy_from_slice(&segment.to_ne_bytes());
    let (to, buffers) = (SockAddr::from(to), [IoSlice::new(piece)]);
    let message = MsgHdr::new().with_addr(&to).with_buffers(&buffers).with_control(&control);
    match SockRef::from(socket).sendmsg(&message, libc::MSG_NOSIGNAL) {
        Ok(_) => Ok(Some(piece.len())),
        // A size above that of the network's packets, or a device without checksums.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE)) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Receives datagrams of one sender. Returns the number of bytes, the size of each datagram, and the sender.
pub(super) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    too_long: &Cell<Option<SocketAddr>>,
) -> Result<(usize, usize, SocketAddr), IoError> {
    let mut control = [0_u8; CONTROL];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: for this struct of integers and pointers, zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    // SAFETY: the system writes an address into the storage, and its length.
    let received = unsafe {
        SockAddr::try_init(|storage, len| {
            message.msg_name = storage.cast();
            message.msg_namelen = *len;
            // SAFETY: the descriptor is open, and all pointers are those of buffers with these lengths, which outlive
            // the call.
            let count = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
            *len = message.msg_namelen;
            usize::try_from(count).map_err(|_| io::Error::last_os_error())
        })
    };
    let (len, from) = received.map_err(IoError::from)?;
    let from = from.as_socket().ok_or(IoError::Unsupported)?;
    if message.msg_flags & libc::MSG_TRUNC != 0 {
        too_long.set(Some(from));
        return Err(IoError::TooLong);
    }
    #[allow(clippy::unnecessary_cast, reason = "the type of the field depends on the C library")]
    let control = &control[..CONTROL.min(message.msg_controllen as usize)];
    Ok((len, size_in(control).unwrap_or(len), from))
}

/// Returns the size of the datagrams that a control message contains.
fn size_in(mut control: &[u8]) -> Option<usize> {
    while let Some((len, rest)) = control.split_first_chunk() {
        let (protocol, rest) = rest.split_first_chunk()?;
        let (kind, data) = rest.split_first_chunk()?;
        if (i32::from_ne_bytes(*protocol), i32::from_ne_bytes(*kind)) == (libc::SOL_UDP, libc::UDP_GRO) {
            return usize::try_from(i32::from_ne_bytes(*data.first_chunk()?)).ok();
        }
        let len = usize::from_ne_bytes(*len).max(HEADER);
        control = control.get(len.checked_next_multiple_of(WORD)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: i32, data: &[u8]) -> Vec<u8> {
        let len = (HEADER + data.len()).to_ne_bytes();
        let mut message = [&len[..], &libc::SOL_UDP.to_ne_bytes(), &kind.to_ne_bytes(), data].concat();
        message.resize(message.len().next_multiple_of(WORD), 0);
        message
    }

    #[test]
    fn the_size_is_found_behind_other_messages() {
        let size = message(libc::UDP_GRO, &1200_i32.to_ne_bytes());
        assert_eq!(size_in(&size), Some(1200));
        assert_eq!(size_in(&[message(7, b"other"), size.clone()].concat()), Some(1200));
        assert_eq!(size_in(&message(7, b"other")), None);
        assert_eq!(size_in(&[]), None);
        for cut in 0..HEADER + 4 {
            assert_eq!(size_in(&size[..cut]), None);
        }
        // A length that is none.
        for len in [0, usize::MAX] {
            let wrong = [&len.to_ne_bytes()[..], &[0; 8], &size].concat();
            assert_eq!(size_in(&wrong), (len == 0).then_some(1200));
        }
    }
}
