//! The two system calls that move bytes.

use std::io;
use std::net::TcpStream;

/// Receives the available bytes. On Linux, this is the bare system call. The standard library calls the C library
/// instead, which adds thread cancellation that sinbin does not use.
#[cfg(unix)]
#[inline]
pub(crate) fn recv(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, _) = rustix::net::recv(stream, buffer, rustix::net::RecvFlags::empty())?;
    Ok(received)
}

/// Sends as many bytes as the send buffer accepts.
#[cfg(unix)]
#[inline]
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = rustix::net::SendFlags::NOSIGNAL;
    // On Apple systems, the standard library has set the equivalent option (`SO_NOSIGPIPE`) on the socket.
    #[cfg(target_vendor = "apple")]
    let flags = rustix::net::SendFlags::empty();
    Ok(rustix::net::send(stream, bytes, flags)?)
}

/// Receives the available bytes.
#[cfg(not(unix))]
pub(crate) fn recv(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut stream, buffer)
}

/// Sends as many bytes as the send buffer accepts.
#[cfg(not(unix))]
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut stream, bytes)
}
