//! The UDP sockets of `wasi:sockets/types`.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use wasmtime::Result;
use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as Old;
use wasmtime_wasi::p2::bindings::sync::sockets::udp::OutgoingDatagram;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::UdpSocket;

use super::super::Guest;
use super::super::io::Io;
use super::super::socket_options as options;
use super::super::sources::{Part, handle};
use super::super::tasks::{Held, Hold};
use super::P3;
use super::addresses::{of_old, to_old};
use super::errors::{socket_error, would_block};

/// The length of the largest datagram, which one call may always have.
const LARGEST: usize = 65_535;

impl Io {
    /// Sends a datagram, once the socket accepts one.
    fn poll_send_datagram(
        &mut self,
        index: u32,
        datagram: &OutgoingDatagram,
        context: &Context<'_>,
    ) -> Poll<SocketResult<()>> {
        loop {
            match self.poll_ready(index, Part::Output, context) {
                Poll::Ready(ready) => ready.map_err(SocketError::trap)?,
                Poll::Pending => return Poll::Pending,
            }
            match self.send_datagram(index, datagram) {
                Err(error) if would_block(&error) => {}
                sent => return Poll::Ready(sent.map_err(socket_error)),
            }
        }
    }

    /// Receives a datagram, once there is one.
    fn poll_receive_datagram(
        &mut self,
        index: u32,
        context: &Context<'_>,
    ) -> Poll<SocketResult<(Vec<u8>, IpSocketAddress)>> {
        loop {
            match self.poll_ready(index, Part::Input, context) {
                Poll::Ready(ready) => ready.map_err(SocketError::trap)?,
                Poll::Pending => return Poll::Pending,
            }
            // Nothing is received if the sender is not permitted.
            if let Some(datagram) = self.receive_datagrams(index, 1).map_err(socket_error)?.pop() {
                let sender = SocketAddr::from(datagram.remote_address).into();
                return Poll::Ready(Ok((datagram.data, sender)));
            }
        }
    }
}

impl Io {
    /// Counts a call that may wait, for which the host keeps `bytes`. The result ends the call when it is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the host keeps too many bytes for other calls. Traps if the guest holds too many resources.
    fn begin_call(&mut self, bytes: usize) -> p2::SocketResult<Hold> {
        self.settle();
        if self.sources.unsent.saturating_add(bytes) > self.sources.most.unsent.max(LARGEST) {
            return Err(Old::OutOfMemory.into());
        }
        self.count(1).map_err(p2::SocketError::trap)?;
        self.sources.unsent += bytes;
        Ok(self.tasks.hold(Held::Call(bytes)))
    }
}

impl HostUdpSocketWithStore<Guest> for P3 {
    async fn send(
        store: &Accessor<Guest, Self>,
        socket: Resource<UdpSocket>,
        data: Vec<u8>,
        remote_address: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        let index = socket.rep();
        let remote_address = remote_address.map(|address| SocketAddr::from(address).into());
        let datagram = OutgoingDatagram { data, remote_address };
        let started = store.with(|mut store| {
            let io = &mut store.get().io;
            io.recipient(index, &datagram)?;
            io.bind_implicitly(index)?;
            io.begin_call(datagram.data.len())
        });
        let _call = started.map_err(socket_error)?;
        poll_fn(|context| {
            store.with(|mut store| store.get().io.poll_send_datagram(index, &datagram, context))
        })
        .await
    }

    async fn receive(
        store: &Accessor<Guest, Self>,
        socket: Resource<UdpSocket>,
    ) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let index = socket.rep();
        let begun = store.with(|mut store| {
            let io = &mut store.get().io;
            io.check_bound(index)?;
            io.begin_call(0)
        });
        let _call = begun.map_err(socket_error)?;
        poll_fn(|context| store.with(|mut store| store.get().io.poll_receive_datagram(index, context))).await
    }
}

impl HostUdpSocket for Guest {
    async fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.io.settle();
        self.io.create_udp(to_old(family)).map(Resource::new_own).map_err(socket_error)
    }

    async fn bind(&mut self, socket: Resource<UdpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        let index = socket.rep();
        let bound = self.io.start_bind_udp(index, address.into());
        bound.and_then(|()| self.io.finish_bind_udp(index)).map_err(socket_error)
    }

    async fn connect(&mut self, socket: Resource<UdpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        let index = socket.rep();
        let bound = self.io.bind_implicitly(index);
        bound.and_then(|()| self.io.associate(index, Some(address.into()))).map_err(socket_error)
    }

    fn disconnect(&mut self, socket: Resource<UdpSocket>) -> SocketResult<()> {
        let index = socket.rep();
        if self.io.peer(index).map_err(socket_error)?.is_none() {
            return Err(ErrorCode::InvalidState.into());
        }
        self.io.associate(index, None).map_err(socket_error)
    }

    fn get_local_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.local_udp(socket.rep()).map(Into::into).map_err(socket_error)
    }

    fn get_remote_address(&mut self, socket: Resource<UdpSocket>) -> SocketResult<IpSocketAddress> {
        let peer = self.io.peer(socket.rep()).map_err(socket_error)?;
        peer.map(Into::into).ok_or_else(|| ErrorCode::InvalidState.into())
    }

    fn get_address_family(&mut self, socket: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        self.io.family(socket.rep()).map(of_old)
    }

    fn get_unicast_hop_limit(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u8> {
        self.io.hop_limit(socket.rep()).map_err(socket_error)
    }

    fn set_unicast_hop_limit(&mut self, socket: Resource<UdpSocket>, value: u8) -> SocketResult<()> {
        self.io.set_hop_limit(socket.rep(), value).map_err(socket_error)
    }

    fn get_receive_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        self.io.socket(socket.rep()).and_then(options::receive_buffer).map_err(socket_error)
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        let socket: p2::SocketResult<_> = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_receive_buffer(socket, value)).map_err(socket_error)
    }

    fn get_send_buffer_size(&mut self, socket: Resource<UdpSocket>) -> SocketResult<u64> {
        self.io.socket(socket.rep()).and_then(options::send_buffer).map_err(socket_error)
    }

    fn set_send_buffer_size(&mut self, socket: Resource<UdpSocket>, value: u64) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_send_buffer(socket, value)).map_err(socket_error)
    }

    fn drop(&mut self, socket: Resource<UdpSocket>) -> Result<()> {
        self.io.release(socket.rep(), handle::SOCKET);
        Ok(())
    }
}
