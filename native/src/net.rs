//! Datagrams, and the options of sockets. (Connections and listeners are in [`task`](crate::task).)

mod datagram;
mod options;
#[cfg(target_os = "linux")]
mod splice;
mod udp;
#[cfg(unix)]
mod unix;

pub use options::SocketOptions;
#[cfg(target_os = "linux")]
pub use splice::{splice_bidirectional, splice_copy};
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::UnixDatagram;
