//! The options of sockets, with the limits and units of WASI.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{listen, sockopt};
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::{SocketError, SocketResult};

use super::io::Io;
use super::sources::{Kind, Source};

/// The shortest and the longest time of the keep-alive options: a second, and the maximum of Linux.
const TIMES: (u64, u64) = (1_000_000_000, 32_767 * 1_000_000_000);

/// Fails if the value is zero, as WASI requires for all of these options.
fn positive<T: Default + PartialEq>(value: T) -> SocketResult<T> {
    if value == T::default() { Err(ErrorCode::InvalidArgument.into()) } else { Ok(value) }
}

fn time(nanos: u64) -> SocketResult<Duration> {
    Ok(Duration::from_nanos(positive(nanos)?.clamp(TIMES.0, TIMES.1)))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts the size that the system returns. Linux returns twice the size that was set, to include its own data.
fn size(bytes: usize) -> u64 {
    let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
    (bytes / factor) as u64
}

pub(super) fn keep_alive_idle(socket: BorrowedFd<'_>) -> SocketResult<u64> {
    Ok(nanos(sockopt::tcp_keepidle(socket)?))
}

pub(super) fn set_keep_alive_idle(socket: BorrowedFd<'_>, value: u64) -> SocketResult<()> {
    Ok(sockopt::set_tcp_keepidle(socket, time(value)?)?)
}

pub(super) fn keep_alive_interval(socket: BorrowedFd<'_>) -> SocketResult<u64> {
    Ok(nanos(sockopt::tcp_keepintvl(socket)?))
}

pub(super) fn set_keep_alive_interval(socket: BorrowedFd<'_>, value: u64) -> SocketResult<()> {
    Ok(sockopt::set_tcp_keepintvl(socket, time(value)?)?)
}

pub(super) fn set_keep_alive_count(socket: BorrowedFd<'_>, value: u32) -> SocketResult<()> {
    // The maximum of Linux.
    Ok(sockopt::set_tcp_keepcnt(socket, positive(value)?.min(127))?)
}

pub(super) fn receive_buffer(socket: BorrowedFd<'_>) -> SocketResult<u64> {
    Ok(size(sockopt::socket_recv_buffer_size(socket)?))
}

pub(super) fn send_buffer(socket: BorrowedFd<'_>) -> SocketResult<u64> {
    Ok(size(sockopt::socket_send_buffer_size(socket)?))
}

pub(super) fn set_receive_buffer(socket: BorrowedFd<'_>, value: u64) -> SocketResult<()> {
    hint(sockopt::set_socket_recv_buffer_size(socket, buffer(value)?))
}

pub(super) fn set_send_buffer(socket: BorrowedFd<'_>, value: u64) -> SocketResult<()> {
    hint(sockopt::set_socket_send_buffer_size(socket, buffer(value)?))
}

fn buffer(value: u64) -> SocketResult<usize> {
    Ok(usize::try_from(positive(value)?).unwrap_or(usize::MAX).min(i32::MAX as usize))
}

/// A size is a hint: systems that refuse a large one keep the one before.
fn hint(set: Result<(), Errno>) -> SocketResult<()> {
    match set {
        Err(Errno::NOBUFS) => Ok(()),
        set => Ok(set?),
    }
}

impl Io {
    /// Returns the address family of a socket.
    pub(super) fn family(&mut self, index: u32) -> Result<IpAddressFamily> {
        match &self.sources.of(index)?.kind {
            Kind::Tcp(tcp) => Ok(tcp.family),
            Kind::Listener(listener) => Ok(listener.family),
            Kind::Udp(udp) => Ok(udp.family),
            Kind::Stdin(_) => Err(Error::msg("stdin is no socket")),
        }
    }

    pub(super) fn hop_limit(&mut self, index: u32) -> SocketResult<u8> {
        let family = self.family(index).map_err(SocketError::trap)?;
        let socket = &self.sources.of(index).map_err(SocketError::trap)?.descriptor;
        match family {
            IpAddressFamily::Ipv4 => Ok(u8::try_from(sockopt::ip_ttl(socket)?).unwrap_or(u8::MAX)),
            IpAddressFamily::Ipv6 => Ok(sockopt::ipv6_unicast_hops(socket)?),
        }
    }

    pub(super) fn set_hop_limit(&mut self, index: u32, value: u8) -> SocketResult<()> {
        let value = positive(value)?;
        let family = self.family(index).map_err(SocketError::trap)?;
        let socket = &self.sources.of(index).map_err(SocketError::trap)?.descriptor;
        match family {
            IpAddressFamily::Ipv4 => Ok(sockopt::set_ip_ttl(socket, value.into())?),
            IpAddressFamily::Ipv6 => Ok(sockopt::set_ipv6_unicast_hops(socket, Some(value))?),
        }
    }

    pub(super) fn set_backlog(&mut self, index: u32, value: u64) -> SocketResult<()> {
        let value = u32::try_from(positive(value)?).unwrap_or(u32::MAX).min(i32::MAX as u32);
        match self.sources.of(index).map_err(SocketError::trap)? {
            Source { kind: Kind::Tcp(tcp), .. } => tcp.set_backlog(value),
            // After the request to stop, the socket must not listen again.
            Source { kind: Kind::Listener(listener), .. } if listener.refuses => Ok(()),
            Source { kind: Kind::Listener(_), descriptor, .. } => {
                listen(descriptor, i32::try_from(value).unwrap_or(i32::MAX))
                    .map_err(|_| ErrorCode::NotSupported.into())
            }
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }
}
