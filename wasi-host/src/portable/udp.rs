//! `wasi:sockets/udp` and `udp-create-socket`.
//!
//! A socket that is bound to an address of [`Network::listen`](super::Network) receives from anyone, and may reply to
//! those that it has received from. Other peers are those of [`Network::connect`](super::Network).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketType, connect, connect_unspec, recvfrom, send, sendto};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Network as WasiNetwork,
};
use wasmtime_wasi::p2::bindings::sync::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult};
use wasmtime_wasi::sockets::SocketAddrUse;

use super::Guest;
use super::addresses::{is_of, is_remote, unspecified};
use super::io::Io;
use super::socket_options as options;
use super::sources::{Kind, Part, Ready, Source, handle};
use super::tcp::{bind_to, local_address, socket};

/// The maximum size of a datagram.
const LARGEST: usize = 65_535;

/// The maximum number of datagrams, and of their bytes, in one call.
const MANY: usize = 16;
const BYTES: usize = 64 * 1024;

/// The number of senders that a socket remembers, to allow replies to them.
const SENDERS: usize = 1024;

/// A UDP socket.
pub(super) struct Udp {
    pub(super) family: IpAddressFamily,
    state: State,
    /// The peer to which the streams are limited.
    peer: Option<SocketAddr>,
    /// The number of datagrams that the next call may send.
    permit: usize,
    /// True if the socket is bound to an address for listening, and receives from anyone.
    is_open: bool,
    /// The latest senders, which the guest may reply to. The oldest is first.
    senders: VecDeque<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unbound,
    Binding,
    Bound,
}

impl Udp {
    fn new(family: IpAddressFamily) -> Self {
        Self {
            family,
            state: State::Unbound,
            peer: None,
            permit: 0,
            is_open: false,
            senders: VecDeque::new(),
        }
    }

    /// Remembers a sender.
    fn received_from(&mut self, sender: SocketAddr) {
        if self.senders.contains(&sender) {
            return;
        }
        if self.senders.len() >= SENDERS {
            self.senders.pop_front();
        }
        self.senders.push_back(sender);
    }
}

impl Io {
    fn udp(&mut self, index: u32) -> SocketResult<&mut Udp> {
        match &mut self.sources.of(index).map_err(SocketError::trap)?.kind {
            Kind::Udp(udp) => Ok(udp),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn create_udp(&mut self, family: IpAddressFamily) -> SocketResult<u32> {
        if !self.network.udp {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.take_socket()?;
        self.count(1).map_err(SocketError::trap)?;
        let socket = socket(family, SocketType::DGRAM).inspect_err(|_| self.sources.sockets -= 1)?;
        let mut source = Source::new(socket, handle::SOCKET, Kind::Udp(Box::new(Udp::new(family))));
        source.ready = Ready::OUTPUT;
        let index = self.insert(source).map_err(SocketError::trap)?;
        self.watch(index).map_err(SocketError::trap)?;
        Ok(index)
    }

    pub(super) fn start_bind_udp(&mut self, index: u32, address: SocketAddr) -> SocketResult<()> {
        let udp = self.udp(index)?;
        match udp.state {
            State::Unbound => {}
            State::Binding => return Err(ErrorCode::ConcurrencyConflict.into()),
            State::Bound => return Err(ErrorCode::InvalidState.into()),
        }
        if !is_of(udp.family, address.ip()) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        self.allow(address, SocketAddrUse::UdpBind)?;
        let is_open = self.network.is_for_listening(address);
        bind_to(self.sources.of(index).map_err(SocketError::trap)?.descriptor.as_fd(), address)?;
        let udp = self.udp(index)?;
        (udp.state, udp.is_open) = (State::Binding, is_open);
        Ok(())
    }

    /// Limits the streams of a socket to a peer, or ends such a limit.
    fn limit_to(&mut self, index: u32, peer: Option<SocketAddr>) -> SocketResult<()> {
        let source = self.sources.of(index).map_err(SocketError::trap)?;
        if source.held & (handle::INPUT | handle::OUTPUT) != 0 {
            return Err(SocketError::trap(wasmtime::Error::msg(
                "the guest has not dropped the socket's streams",
            )));
        }
        self.associate(index, peer)?;
        let Source { held, ready, .. } = self.sources.of(index).map_err(SocketError::trap)?;
        *held |= handle::INPUT | handle::OUTPUT;
        *ready = Ready::INPUT.and(Ready::OUTPUT);
        self.count(2).map_err(SocketError::trap)
    }

    /// Limits a socket to a peer, or ends such a limit.
    pub(super) fn associate(&mut self, index: u32, peer: Option<SocketAddr>) -> SocketResult<()> {
        let source = self.sources.of(index).map_err(SocketError::trap)?;
        let Kind::Udp(udp) = &source.kind else { return Err(ErrorCode::InvalidState.into()) };
        if udp.state != State::Bound {
            return Err(ErrorCode::InvalidState.into());
        }
        if let Some(peer) = peer {
            if !is_of(udp.family, peer.ip()) || !is_remote(peer) {
                return Err(ErrorCode::InvalidArgument.into());
            }
            let may_send = self.may_send(index, peer)?;
            if !may_send {
                return Err(ErrorCode::AccessDenied.into());
            }
        }
        let Source { descriptor, kind, .. } = self.sources.of(index).map_err(SocketError::trap)?;
        let Kind::Udp(udp) = kind else { return Err(ErrorCode::InvalidState.into()) };
        match peer {
            Some(peer) => match connect(&*descriptor, &peer) {
                // Linux does not change the interface of a socket that is connected already.
                Err(Errno::INVAL) => {
                    connect_unspec(&*descriptor).ok();
                    connect(&*descriptor, &peer)?;
                }
                connected => connected?,
            },
            None if udp.peer.is_some() => match connect_unspec(&*descriptor) {
                Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            },
            None => {}
        }
        udp.peer = peer;
        udp.permit = 0;
        Ok(())
    }

    pub(super) fn finish_bind_udp(&mut self, index: u32) -> SocketResult<()> {
        let udp = self.udp(index)?;
        if udp.state != State::Binding {
            return Err(ErrorCode::NotInProgress.into());
        }
        udp.state = State::Bound;
        Ok(())
    }

    /// Returns the peer to which a socket is limited.
    pub(super) fn peer(&mut self, index: u32) -> SocketResult<Option<SocketAddr>> {
        Ok(self.udp(index)?.peer)
    }

    pub(super) fn local_udp(&mut self, index: u32) -> SocketResult<SocketAddr> {
        self.check_bound(index)?;
        local_address(self.socket(index)?)
    }

    /// Checks that a socket is bound.
    pub(super) fn check_bound(&mut self, index: u32) -> SocketResult<()> {
        if self.udp(index)?.state == State::Bound { Ok(()) } else { Err(ErrorCode::InvalidState.into()) }
    }

    /// Binds a socket to an address that the system chooses, unless it is bound.
    pub(super) fn bind_implicitly(&mut self, index: u32) -> SocketResult<()> {
        let udp = self.udp(index)?;
        if udp.state == State::Unbound {
            let any = unspecified(udp.family);
            self.start_bind_udp(index, any)?;
            self.finish_bind_udp(index)?;
        }
        Ok(())
    }

    /// Returns true if the guest may send to `peer` from this socket.
    fn may_send(&mut self, index: u32, peer: SocketAddr) -> SocketResult<bool> {
        let is_granted = self.network.allows(peer, SocketAddrUse::UdpSend);
        Ok(is_granted || self.udp(index)?.senders.contains(&peer))
    }

    pub(super) fn receive_datagrams(&mut self, index: u32, most: u64) -> SocketResult<Vec<IncomingDatagram>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(MANY);
        let (mut datagrams, mut bytes) = (Vec::new(), 0);
        if !self.try_again(index, Part::Input).map_err(SocketError::trap)? {
            return Ok(datagrams);
        }
        let Self { sources, network, .. } = self;
        let Source { descriptor, ready, kind, .. } = sources.of(index).map_err(SocketError::trap)?;
        let Kind::Udp(udp) = kind else { return Err(ErrorCode::InvalidState.into()) };
        let mut buffer = Vec::new();
        // Datagrams that are not allowed count as well, so that a flood of them does not keep the guest here.
        for _ in 0..most {
            if bytes >= BYTES {
                break;
            }
            buffer.resize(LARGEST, 0);
            let (count, sender) = match recvfrom(&*descriptor, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((count, _, sender)) => {
                    (count, sender.and_then(|sender| SocketAddr::try_from(sender).ok()))
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    *ready = ready.without(Ready::INPUT.and(Ready::END));
                    break;
                }
                // The next call reports it, if it lasts.
                Err(_) if !datagrams.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            let Some(sender) = sender.or(udp.peer) else { continue };
            // The system had queued it before the socket was limited to its peer.
            if udp.peer.is_some_and(|peer| peer != sender) {
                continue;
            }
            if !udp.is_open && !network.allows(sender, SocketAddrUse::UdpReceive) {
                continue;
            }
            if udp.is_open {
                udp.received_from(sender);
            }
            bytes += count;
            datagrams
                .push(IncomingDatagram { data: buffer[..count].to_vec(), remote_address: sender.into() });
        }
        Ok(datagrams)
    }

    /// Checks a datagram, and returns its recipient.
    pub(super) fn recipient(&mut self, index: u32, datagram: &OutgoingDatagram) -> SocketResult<SocketAddr> {
        if datagram.data.len() > LARGEST {
            return Err(ErrorCode::DatagramTooLarge.into());
        }
        let udp = self.udp(index)?;
        let (family, peer) = (udp.family, udp.peer);
        let to = match datagram.remote_address.map(SocketAddr::from) {
            Some(to) if !is_remote(to) || !is_of(family, to.ip()) || peer.is_some_and(|peer| peer != to) => {
                return Err(ErrorCode::InvalidArgument.into());
            }
            to => to.or(peer).ok_or(ErrorCode::InvalidArgument)?,
        };
        if self.may_send(index, to)? { Ok(to) } else { Err(ErrorCode::AccessDenied.into()) }
    }

    pub(super) fn send_datagram(&mut self, index: u32, datagram: &OutgoingDatagram) -> SocketResult<()> {
        let to = self.recipient(index, datagram)?;
        let peer = self.peer(index)?;
        let Source { descriptor, ready, .. } = self.sources.of(index).map_err(SocketError::trap)?;
        loop {
            let sent = match peer {
                Some(_) => send(&*descriptor, &datagram.data, SendFlags::DONTWAIT),
                None => sendto(&*descriptor, &datagram.data, SendFlags::DONTWAIT, &to),
            };
            match sent {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    *ready = ready.without(Ready::OUTPUT);
                    return Err(ErrorCode::WouldBlock.into());
                }
                sent => return Ok(sent.map(|_| ())?),
            }
        }
    }

    fn send_datagrams(&mut self, index: u32, datagrams: &[OutgoingDatagram]) -> SocketResult<u64> {
        let permit = std::mem::take(&mut self.udp(index)?.permit);
        if datagrams.len() > permit {
            let text =
                format!("the guest sent {} datagrams, but was permitted to send {permit}", datagrams.len());
            return Err(SocketError::trap(wasmtime::Error::msg(text)));
        }
        let mut count = 0;
        for datagram in datagrams {
            match self.send_datagram(index, datagram) {
                Ok(()) => count += 1,
                // The number of sent datagrams is reported. The guest meets the error again when it sends the next.
                Err(_) if count > 0 => break,
                Err(error) if matches!(error.downcast_ref(), Some(ErrorCode::WouldBlock)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl udp_create_socket::Host for Guest {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.io.create_udp(family).map(Resource::new_own)
    }
}

impl Host for Guest {}

impl HostUdpSocket for Guest {
    fn start_bind(
        &mut self,
        socket: Resource<UdpSocket>,
        _: Resource<WasiNetwork>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.io.start_bind_udp(socket.rep(), address.into())
    }

    fn finish_bind(&mut self, socket: Resource<UdpSocket>) -> SocketResult<()> {
        self.io.finish_bind_udp(socket.rep())
    }

    fn stream(
        &mut self,
        socket: Resource<UdpSocket>,
        peer: Option<IpSocketAddress>,
    ) -> SocketResult<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>)> {
        let index = socket.rep();
        self.io.limit_to(index, peer.map(SocketAddr::from))?;
        Ok((Resource::new_own(index), Resource::new_own(index)))
    }

    fn local_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.local_udp(socket.rep()).map(Into::into)
    }

    fn remote_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.peer(socket.rep())?.map(Into::into).ok_or_else(|| ErrorCode::InvalidState.into())
    }

    fn address_family(&mut self, socket: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        self.io.family(socket.rep())
    }

    fn unicast_hop_limit(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u8> {
        self.io.hop_limit(socket.rep())
    }

    fn set_unicast_hop_limit(&mut self, socket: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        self.io.set_hop_limit(socket.rep(), value)
    }

    fn receive_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        options::receive_buffer(self.io.socket(socket.rep())?)
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        options::set_receive_buffer(self.io.socket(socket.rep())?, value)
    }

    fn send_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        options::send_buffer(self.io.socket(socket.rep())?)
    }

    fn set_send_buffer_size(&mut self, socket: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        options::set_send_buffer(self.io.socket(socket.rep())?, value)
    }

    fn subscribe(&mut self, socket: Resource<UdpSocket>) -> Result<Resource<DynPollable>> {
        self.io.subscribe_to(socket.rep(), Part::Socket)
    }

    fn drop(&mut self, socket: Resource<UdpSocket>) -> Result<()> {
        self.io.release(socket.rep(), handle::SOCKET);
        Ok(())
    }
}

impl HostIncomingDatagramStream for Guest {
    fn receive(
        &mut self,
        stream: Resource<IncomingDatagramStream>,
        most: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        self.io.receive_datagrams(stream.rep(), most)
    }

    fn subscribe(&mut self, stream: Resource<IncomingDatagramStream>) -> Result<Resource<DynPollable>> {
        self.io.subscribe_to(stream.rep(), Part::Input)
    }

    fn drop(&mut self, stream: Resource<IncomingDatagramStream>) -> Result<()> {
        self.io.release(stream.rep(), handle::INPUT);
        Ok(())
    }
}

impl HostOutgoingDatagramStream for Guest {
    fn check_send(&mut self, stream: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        let index = stream.rep();
        let is_ready = self.io.try_again(index, Part::Output).map_err(SocketError::trap)?;
        let udp = self.io.udp(index)?;
        udp.permit = if is_ready { MANY } else { 0 };
        Ok(udp.permit as u64)
    }

    fn send(
        &mut self,
        stream: Resource<OutgoingDatagramStream>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        if datagrams.is_empty() {
            return Ok(0);
        }
        self.io.send_datagrams(stream.rep(), &datagrams)
    }

    fn subscribe(&mut self, stream: Resource<OutgoingDatagramStream>) -> Result<Resource<DynPollable>> {
        self.io.subscribe_to(stream.rep(), Part::Output)
    }

    fn drop(&mut self, stream: Resource<OutgoingDatagramStream>) -> Result<()> {
        self.io.release(stream.rep(), handle::OUTPUT);
        Ok(())
    }
}
