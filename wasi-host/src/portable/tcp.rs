//! `wasi:sockets/tcp` and `tcp-create-socket`.
//!
//! The system completes binding and listening at once, and WASI reports this in two steps. A connection and its two
//! streams are one source, which lives as long as one of their handles.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, connect, getpeername, getsockname, listen,
    shutdown, socket_with, sockopt,
};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Network as WasiNetwork,
};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::bindings::sync::io::streams::{InputStream, OutputStream};
use wasmtime_wasi::p2::bindings::sync::sockets::tcp::{Host, HostTcpSocket, ShutdownType, TcpSocket};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult};
use wasmtime_wasi::sockets::SocketAddrUse;

use super::Guest;
use super::addresses::{is_of, is_remote, is_unicast, unspecified};
use super::io::Io;
use super::listener::Listener;
use super::socket_options as options;
use super::sources::{Kind, Part, Ready, Source, handle};
use super::stream::Output;
use super::streams::{input_of, output_of};

/// The length of the backlog, unless the guest sets another one.
const BACKLOG: u32 = 1024;

/// A TCP socket that is not listening.
pub(super) struct Tcp {
    pub(super) family: IpAddressFamily,
    pub(super) state: State,
    /// The directions whose stream a WASI 0.3 guest has asked for, as a set of the bits of their handles.
    pub(super) taken: u8,
    backlog: u32,
    /// The peer of an attempt to connect, which is kept for other processes that look at the guest.
    connects_to: Option<Box<SocketAddr>>,
    /// True if no more bytes can be received.
    pub(super) input_ended: bool,
    pub(super) output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Unbound,
    /// Binding has started, and the guest has not finished it yet.
    Binding,
    Bound,
    Connecting,
    /// Connecting has failed, and the guest has not been told yet.
    Refused(Errno),
    Connected,
    /// Connecting has failed.
    Closed,
}

impl Tcp {
    fn new(family: IpAddressFamily, state: State) -> Self {
        let (input_ended, output) = (false, Output::default());
        Self { family, state, taken: 0, backlog: BACKLOG, connects_to: None, input_ended, output }
    }

    /// Sets the length of the backlog, for listening later.
    pub(super) fn set_backlog(&mut self, value: u32) -> SocketResult<()> {
        if !matches!(self.state, State::Unbound | State::Binding | State::Bound) {
            return Err(ErrorCode::InvalidState.into());
        }
        self.backlog = value;
        Ok(())
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Returns the peer of the attempt to connect.
    pub(super) fn connects_to(&self) -> Option<SocketAddr> {
        self.connects_to.as_deref().copied()
    }

    /// Returns true if an operation has started and is not finished.
    fn is_busy(&self) -> bool {
        matches!(self.state, State::Binding | State::Connecting | State::Refused(_))
    }
}

/// Creates a nonblocking socket. An IPv6 socket supports no IPv4, as WASI requires.
pub(super) fn socket(family: IpAddressFamily, kind: SocketType) -> Result<OwnedFd, Errno> {
    let domain = match family {
        IpAddressFamily::Ipv4 => AddressFamily::INET,
        IpAddressFamily::Ipv6 => AddressFamily::INET6,
    };
    let socket = socket_with(domain, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if family == IpAddressFamily::Ipv6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Returns the local address of a socket.
pub(super) fn local_address(socket: BorrowedFd<'_>) -> SocketResult<SocketAddr> {
    SocketAddr::try_from(getsockname(socket)?).map_err(|_| ErrorCode::Unknown.into())
}

fn started(started: bool) -> SocketResult<()> {
    if started { Ok(()) } else { Err(ErrorCode::NotInProgress.into()) }
}

impl Io {
    /// Returns a TCP socket that is not listening.
    pub(super) fn tcp(&mut self, index: u32) -> SocketResult<(&mut Tcp, &OwnedFd)> {
        match self.sources.of(index).map_err(SocketError::trap)? {
            Source { descriptor, kind: Kind::Tcp(tcp), .. } => Ok((tcp, descriptor)),
            Source { kind: Kind::Listener(listener), .. } if listener.is_starting => {
                Err(ErrorCode::ConcurrencyConflict.into())
            }
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    /// Returns the descriptor of a socket.
    pub(super) fn socket(&mut self, index: u32) -> SocketResult<BorrowedFd<'_>> {
        Ok(self.sources.of(index).map_err(SocketError::trap)?.descriptor.as_fd())
    }

    pub(super) fn create_tcp(&mut self, family: IpAddressFamily) -> SocketResult<u32> {
        self.take_socket()?;
        self.count(1).map_err(SocketError::trap)?;
        let socket = socket(family, SocketType::STREAM).inspect_err(|_| self.sources.sockets -= 1)?;
        // WASI has no such option. A listener's connections inherit it.
        sockopt::set_tcp_nodelay(&socket, true).ok();
        let source = Source::new(socket, handle::SOCKET, Kind::Tcp(Tcp::new(family, State::Unbound)));
        self.insert(source).map_err(SocketError::trap)
    }

    /// Counts a new socket.
    ///
    /// # Errors
    ///
    /// Fails if the guest has too many.
    pub(super) fn take_socket(&mut self) -> SocketResult<()> {
        if !self.sources.has_room() {
            return Err(ErrorCode::NewSocketLimit.into());
        }
        self.sources.sockets += 1;
        Ok(())
    }

    /// Checks whether the guest may use an address.
    pub(super) fn allow(&self, address: SocketAddr, purpose: SocketAddrUse) -> SocketResult<()> {
        if self.network.allows(address, purpose) { Ok(()) } else { Err(ErrorCode::AccessDenied.into()) }
    }

    pub(super) fn start_bind(&mut self, index: u32, address: SocketAddr) -> SocketResult<()> {
        let (tcp, _) = self.tcp(index)?;
        match tcp.state {
            State::Unbound => {}
            _ if tcp.is_busy() => return Err(ErrorCode::ConcurrencyConflict.into()),
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        if !is_of(tcp.family, address.ip()) || !is_unicast(address.ip()) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        self.allow(address, SocketAddrUse::TcpBind)?;
        let (tcp, socket) = self.tcp(index)?;
        sockopt::set_socket_reuseaddr(socket, true).ok();
        bind_to(socket.as_fd(), address)?;
        tcp.state = State::Binding;
        Ok(())
    }

    pub(super) fn start_connect(&mut self, index: u32, address: SocketAddr) -> SocketResult<()> {
        let (tcp, _) = self.tcp(index)?;
        let is_bound = match tcp.state {
            State::Unbound => false,
            State::Bound => true,
            _ if tcp.is_busy() => return Err(ErrorCode::ConcurrencyConflict.into()),
            _ => return Err(ErrorCode::InvalidState.into()),
        };
        let family = tcp.family;
        if !is_of(family, address.ip()) || !is_unicast(address.ip()) || !is_remote(address) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if !is_bound {
            self.allow(unspecified(family), SocketAddrUse::TcpBind)?;
        }
        self.allow(address, SocketAddrUse::TcpConnect)?;
        let (tcp, socket) = self.tcp(index)?;
        tcp.state = match connect(socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => State::Connecting,
            Err(error) => State::Refused(error),
        };
        tcp.connects_to = tcp.is_connecting().then(|| Box::new(address));
        // Before, an unconnected socket would have been reported as broken.
        if tcp.is_connecting() {
            self.watch(index).map_err(SocketError::trap)?;
        }
        Ok(())
    }

    pub(super) fn finish_connect(&mut self, index: u32) -> SocketResult<()> {
        let (tcp, _) = self.tcp(index)?;
        match tcp.state {
            State::Connecting => {}
            State::Refused(error) => {
                tcp.state = State::Closed;
                return Err(error.into());
            }
            _ => return Err(ErrorCode::NotInProgress.into()),
        }
        if !self.try_again(index, Part::Socket).map_err(SocketError::trap)? {
            return Err(ErrorCode::WouldBlock.into());
        }
        let Source { descriptor, ready, .. } = self.sources.of(index).map_err(SocketError::trap)?;
        let ended = match sockopt::socket_error(&*descriptor)? {
            Err(error) => Err(error),
            // Without an error and without a peer, the connection is still being established.
            Ok(()) if getpeername(&*descriptor).is_err() => {
                *ready = Ready::default();
                return Err(ErrorCode::WouldBlock.into());
            }
            Ok(()) => Ok(()),
        };
        let (tcp, _) = self.tcp(index)?;
        tcp.state = if ended.is_ok() { State::Connected } else { State::Closed };
        tcp.connects_to = None;
        Ok(ended?)
    }

    pub(super) fn start_listen(&mut self, index: u32) -> SocketResult<()> {
        let (tcp, socket) = self.tcp(index)?;
        match tcp.state {
            State::Bound => {}
            _ if tcp.is_busy() => return Err(ErrorCode::ConcurrencyConflict.into()),
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        let (family, backlog) = (tcp.family, tcp.backlog);
        let address = local_address(socket.as_fd())?;
        self.allow(address, SocketAddrUse::TcpListen)?;
        if self.is_stopping {
            return Err(ErrorCode::AccessDenied.into());
        }
        if self.sources.listeners >= self.sources.most.listeners {
            return Err(ErrorCode::NewSocketLimit.into());
        }
        listen(self.socket(index)?, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let source = self.sources.of(index).map_err(SocketError::trap)?;
        source.kind = Kind::Listener(Box::new(Listener::new(family)));
        self.sources.listeners += 1;
        self.sources.sockets -= 1;
        self.watch(index).map_err(SocketError::trap)
    }

    fn accept(&mut self, index: u32) -> SocketResult<u32> {
        let has_room = self.sources.has_room();
        let source = self.sources.of(index).map_err(SocketError::trap)?;
        let family = match &source.kind {
            Kind::Listener(listener) if !listener.is_starting => listener.family,
            _ => return Err(ErrorCode::InvalidState.into()),
        };
        // At the limit, clients wait in the backlog.
        if !has_room {
            return Err(ErrorCode::WouldBlock.into());
        }
        if !self.try_again(index, Part::Socket).map_err(SocketError::trap)? {
            return Err(ErrorCode::WouldBlock.into());
        }
        let Kind::Listener(listener) = &mut self.sources.of(index).map_err(SocketError::trap)?.kind else {
            return Err(ErrorCode::InvalidState.into());
        };
        let accepted = listener.accept()?;
        self.count(3).map_err(SocketError::trap)?;
        self.insert_accepted(accepted, family, handle::SOCKET | handle::INPUT | handle::OUTPUT)
    }

    /// Stores a connection that a listener of this family has accepted. Returns its index.
    pub(super) fn insert_accepted(
        &mut self,
        accepted: OwnedFd,
        family: IpAddressFamily,
        held: u8,
    ) -> SocketResult<u32> {
        self.sources.sockets += 1;
        let mut source = Source::new(accepted, held, Kind::Tcp(Tcp::new(family, State::Connected)));
        source.ready = Ready::OUTPUT;
        let index = self.insert(source).map_err(SocketError::trap)?;
        self.watch(index).map_err(SocketError::trap)?;
        Ok(index)
    }

    fn shut(&mut self, index: u32, how: ShutdownType) -> SocketResult<()> {
        let (tcp, socket) = self.tcp(index)?;
        if tcp.state != State::Connected {
            return Err(ErrorCode::InvalidState.into());
        }
        if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
            tcp.input_ended = true;
            shutdown(socket, Shutdown::Read).ok();
        }
        if matches!(how, ShutdownType::Send | ShutdownType::Both) {
            tcp.output.end(socket.as_fd());
        }
        Ok(())
    }

    pub(super) fn remote(&mut self, index: u32) -> SocketResult<SocketAddr> {
        let (tcp, socket) = self.tcp(index)?;
        if tcp.state != State::Connected {
            return Err(ErrorCode::InvalidState.into());
        }
        let peer = SocketAddr::try_from(getpeername(socket)?.ok_or(ErrorCode::InvalidState)?);
        peer.map_err(|_| ErrorCode::Unknown.into())
    }

    pub(super) fn local(&mut self, index: u32) -> SocketResult<SocketAddr> {
        let source = self.sources.of(index).map_err(SocketError::trap)?;
        if let Kind::Tcp(Tcp {
            state: State::Unbound | State::Connecting | State::Refused(_) | State::Closed,
            ..
        }) = source.kind
        {
            return Err(ErrorCode::InvalidState.into());
        }
        local_address(source.descriptor.as_fd())
    }
}

/// Binds a socket.
pub(super) fn bind_to(socket: BorrowedFd<'_>, address: SocketAddr) -> SocketResult<()> {
    match bind(socket, &address) {
        Err(Errno::AFNOSUPPORT) => Err(ErrorCode::InvalidArgument.into()),
        bound => Ok(bound?),
    }
}

impl tcp_create_socket::Host for Guest {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.io.create_tcp(family).map(Resource::new_own)
    }
}

impl Host for Guest {}

impl HostTcpSocket for Guest {
    fn start_bind(
        &mut self,
        socket: Resource<TcpSocket>,
        _: Resource<WasiNetwork>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.io.start_bind(socket.rep(), address.into())
    }

    fn finish_bind(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        let Ok((tcp, _)) = self.io.tcp(socket.rep()) else { return started(false) };
        started(tcp.state == State::Binding)?;
        tcp.state = State::Bound;
        Ok(())
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        _: Resource<WasiNetwork>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.io.start_connect(socket.rep(), address.into())
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<InputStream>, Resource<OutputStream>)> {
        let index = socket.rep();
        if self.io.tcp(index).is_err() {
            return Err(ErrorCode::NotInProgress.into());
        }
        self.io.finish_connect(index)?;
        self.io.count(2).map_err(SocketError::trap)?;
        self.io.sources.of(index).map_err(SocketError::trap)?.held |= handle::INPUT | handle::OUTPUT;
        Ok((input_of(index), output_of(index)))
    }

    fn start_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        self.io.start_listen(socket.rep())
    }

    fn finish_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        match &mut self.io.sources.of(socket.rep()).map_err(SocketError::trap)?.kind {
            Kind::Listener(listener) if listener.is_starting => listener.is_starting = false,
            _ => return started(false),
        }
        Ok(())
    }

    fn accept(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<InputStream>, Resource<OutputStream>)> {
        let index = self.io.accept(socket.rep())?;
        Ok((Resource::new_own(index), input_of(index), output_of(index)))
    }

    fn local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.local(socket.rep()).map(Into::into)
    }

    fn remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.remote(socket.rep()).map(Into::into)
    }

    fn is_listening(&mut self, socket: Resource<TcpSocket>) -> Result<bool> {
        Ok(matches!(self.io.sources.of(socket.rep())?.kind, Kind::Listener(_)))
    }

    fn address_family(&mut self, socket: Resource<TcpSocket>) -> Result<IpAddressFamily> {
        self.io.family(socket.rep())
    }

    fn subscribe(&mut self, socket: Resource<TcpSocket>) -> Result<Resource<DynPollable>> {
        self.io.subscribe_to(socket.rep(), Part::Socket)
    }

    fn shutdown(&mut self, socket: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        self.io.shut(socket.rep(), how)
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> Result<()> {
        self.io.release(socket.rep(), handle::SOCKET);
        Ok(())
    }

    fn set_listen_backlog_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.io.set_backlog(socket.rep(), value)
    }

    fn keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(sockopt::socket_keepalive(self.io.socket(socket.rep())?)?)
    }

    fn set_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        Ok(sockopt::set_socket_keepalive(self.io.socket(socket.rep())?, value)?)
    }

    fn keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        options::keep_alive_idle(self.io.socket(socket.rep())?)
    }

    fn set_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        options::set_keep_alive_idle(self.io.socket(socket.rep())?, value)
    }

    fn keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        options::keep_alive_interval(self.io.socket(socket.rep())?)
    }

    fn set_keep_alive_interval(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        options::set_keep_alive_interval(self.io.socket(socket.rep())?, value)
    }

    fn keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(sockopt::tcp_keepcnt(self.io.socket(socket.rep())?)?)
    }

    fn set_keep_alive_count(&mut self, socket: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        options::set_keep_alive_count(self.io.socket(socket.rep())?, value)
    }

    fn hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        self.io.hop_limit(socket.rep())
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.io.set_hop_limit(socket.rep(), value)
    }

    fn receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        options::receive_buffer(self.io.socket(socket.rep())?)
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        options::set_receive_buffer(self.io.socket(socket.rep())?, value)
    }

    fn send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        options::send_buffer(self.io.socket(socket.rep())?)
    }

    fn set_send_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        options::set_send_buffer(self.io.socket(socket.rep())?, value)
    }
}
