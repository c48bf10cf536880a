//! The two system calls that move bytes.

use std::io;
use std::net::TcpStream;

/// Receives what is there. On Linux this is the bare system call, where the standard library's goes by way of
/// the C library and its thread cancellation, which nobody here uses.
#[cfg(unix)]
#[inline]
pub(crate) fn recv(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, _) = rustix::net::recv(stream, buffer, rustix::net::RecvFlags::empty())?;
    Ok(received)
}

/// Sends as much as there is room for.
#[cfg(unix)]
#[inline]
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = rustix::net::SendFlags::NOSIGNAL;
    // The standard library has set the socket's own option there.
    #[cfg(target_vendor = "apple")]
    let flags = rustix::net::SendFlags::empty();
    Ok(rustix::net::send(stream, bytes, flags)?)
}

/// Receives what is there.
#[cfg(not(unix))]
pub(crate) fn recv(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut stream, buffer)
}

/// Sends as much as there is room for.
#[cfg(not(unix))]
pub(crate) fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut stream, bytes)
}
