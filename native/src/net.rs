//! Datagrams, and the options of sockets. (Connections and listeners are in [`task`](crate::task).)

mod datagram;
mod options;
#[cfg(target_os = "linux")]
mod segmentation;
mod segments;
#[cfg(target_os = "linux")]
mod splice;
mod udp;
#[cfg(unix)]
mod unix;

pub use options::SocketOptions;
pub use segments::Segments;
pub use sinbin_core::net::is_public;
#[cfg(target_os = "linux")]
pub use splice::{copy, copy_bidirectional};
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::UnixDatagram;

#[cfg(not(target_os = "linux"))]
use sinbin_core::task::{self, Conn, Error};

/// Copies all bytes from one connection to another, as [`task::copy`] does. On Linux, the system moves them.
///
/// # Errors
///
/// Fails as [`task::copy`] does.
#[cfg(not(target_os = "linux"))]
pub async fn copy<'d>(from: &Conn<'d>, to: &Conn<'d>) -> Result<u64, Error> {
    task::copy(from, to).await
}

/// Copies in both directions, as [`task::copy_bidirectional`] does. On Linux, the system moves the bytes.
///
/// # Errors
///
/// Fails as [`task::copy_bidirectional`] does.
#[cfg(not(target_os = "linux"))]
pub async fn copy_bidirectional<'d>(a: &Conn<'d>, b: &Conn<'d>) -> Result<(u64, u64), Error> {
    task::copy_bidirectional(a, b).await
}
