//! The functions of `wasi:sockets`.

use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::sockets::network::{
    self, ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Network,
};
use wasmtime_wasi::p2::bindings::sockets::{instance_network, ip_name_lookup, tcp_create_socket};
use wasmtime_wasi::p2::bindings::sync::sockets::tcp::{self, ShutdownType, TcpSocket};
use wasmtime_wasi::p2::bindings::sync::sockets::udp::{
    self, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketError, SocketResult};

use super::interface::{Function, interface};
use super::{Player, Recorded};

type Tcp = Resource<TcpSocket>;
type Udp = Resource<UdpSocket>;
type Pollable = Resource<DynPollable>;
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);
type Accepted = (Tcp, Resource<DynInputStream>, Resource<DynOutputStream>);
type Datagrams = (Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>);
type Addresses = Resource<ip_name_lookup::ResolveAddressStream>;

interface! {
    INSTANCE_NETWORK, instance_network::Host, "instance-network.", |guest| guest;
    fn instance_network() -> Result<Resource<Network>>;
}

interface! {
    NETWORK, network::HostNetwork, "network.", |guest| guest;
    fn drop(this: Resource<Network>) -> Result<()>;
}

interface! {
    LOOKUP, ip_name_lookup::Host, "ip-name-lookup.", |guest| guest;
    fn resolve_addresses(network: Resource<Network>, name: String) -> SocketResult<Addresses>;
}

interface! {
    ADDRESSES, ip_name_lookup::HostResolveAddressStream, "resolve-address-stream.", |guest| guest;
    fn resolve_next_address(this: Addresses) -> SocketResult<Option<IpAddress>>;
    fn subscribe(this: Addresses) -> Result<Pollable>;
    fn drop(this: Addresses) -> Result<()>;
}

interface! {
    TCP_CREATE, tcp_create_socket::Host, "tcp-create-socket.", |guest| guest;
    fn create_tcp_socket(address_family: IpAddressFamily) -> SocketResult<Tcp>;
}

interface! {
    UDP_CREATE, udp_create_socket::Host, "udp-create-socket.", |guest| guest;
    fn create_udp_socket(address_family: IpAddressFamily) -> SocketResult<Udp>;
}

interface! {
    TCP, tcp::HostTcpSocket, "tcp-socket.", |guest| guest;
    fn start_bind(this: Tcp, network: Resource<Network>, local_address: IpSocketAddress) -> SocketResult<()>;
    fn finish_bind(this: Tcp) -> SocketResult<()>;
    fn start_connect(this: Tcp, network: Resource<Network>, remote_address: IpSocketAddress) -> SocketResult<()>;
    fn finish_connect(this: Tcp) -> SocketResult<Streams>;
    fn start_listen(this: Tcp) -> SocketResult<()>;
    fn finish_listen(this: Tcp) -> SocketResult<()>;
    fn accept(this: Tcp) -> SocketResult<Accepted>;
    fn local_address(this: Tcp) -> SocketResult<IpSocketAddress>;
    fn remote_address(this: Tcp) -> SocketResult<IpSocketAddress>;
    fn is_listening(this: Tcp) -> Result<bool>;
    fn address_family(this: Tcp) -> Result<IpAddressFamily>;
    fn set_listen_backlog_size(this: Tcp, value: u64) -> SocketResult<()>;
    fn keep_alive_enabled(this: Tcp) -> SocketResult<bool>;
    fn set_keep_alive_enabled(this: Tcp, value: bool) -> SocketResult<()>;
    fn keep_alive_idle_time(this: Tcp) -> SocketResult<u64>;
    fn set_keep_alive_idle_time(this: Tcp, value: u64) -> SocketResult<()>;
    fn keep_alive_interval(this: Tcp) -> SocketResult<u64>;
    fn set_keep_alive_interval(this: Tcp, value: u64) -> SocketResult<()>;
    fn keep_alive_count(this: Tcp) -> SocketResult<u32>;
    fn set_keep_alive_count(this: Tcp, value: u32) -> SocketResult<()>;
    fn hop_limit(this: Tcp) -> SocketResult<u8>;
    fn set_hop_limit(this: Tcp, value: u8) -> SocketResult<()>;
    fn receive_buffer_size(this: Tcp) -> SocketResult<u64>;
    fn set_receive_buffer_size(this: Tcp, value: u64) -> SocketResult<()>;
    fn send_buffer_size(this: Tcp) -> SocketResult<u64>;
    fn set_send_buffer_size(this: Tcp, value: u64) -> SocketResult<()>;
    fn subscribe(this: Tcp) -> Result<Pollable>;
    fn shutdown(this: Tcp, shutdown_type: ShutdownType) -> SocketResult<()>;
    fn drop(this: Tcp) -> Result<()>;
}

interface! {
    UDP, udp::HostUdpSocket, "udp-socket.", |guest| guest;
    fn start_bind(this: Udp, network: Resource<Network>, local_address: IpSocketAddress) -> SocketResult<()>;
    fn finish_bind(this: Udp) -> SocketResult<()>;
    fn stream(this: Udp, remote_address: Option<IpSocketAddress>) -> SocketResult<Datagrams>;
    fn local_address(this: Udp) -> SocketResult<IpSocketAddress>;
    fn remote_address(this: Udp) -> SocketResult<IpSocketAddress>;
    fn address_family(this: Udp) -> Result<IpAddressFamily>;
    fn unicast_hop_limit(this: Udp) -> SocketResult<u8>;
    fn set_unicast_hop_limit(this: Udp, value: u8) -> SocketResult<()>;
    fn receive_buffer_size(this: Udp) -> SocketResult<u64>;
    fn set_receive_buffer_size(this: Udp, value: u64) -> SocketResult<()>;
    fn send_buffer_size(this: Udp) -> SocketResult<u64>;
    fn set_send_buffer_size(this: Udp, value: u64) -> SocketResult<()>;
    fn subscribe(this: Udp) -> Result<Pollable>;
    fn drop(this: Udp) -> Result<()>;
}

interface! {
    UDP_INPUT, udp::HostIncomingDatagramStream, "incoming-datagram-stream.", |guest| guest;
    fn receive(this: Resource<IncomingDatagramStream>, max_results: u64) -> SocketResult<Vec<IncomingDatagram>>;
    fn subscribe(this: Resource<IncomingDatagramStream>) -> Result<Pollable>;
    fn drop(this: Resource<IncomingDatagramStream>) -> Result<()>;
}

interface! {
    UDP_OUTPUT, udp::HostOutgoingDatagramStream, "outgoing-datagram-stream.", |guest| guest;
    fn check_send(this: Resource<OutgoingDatagramStream>) -> SocketResult<u64>;
    fn send(this: Resource<OutgoingDatagramStream>, datagrams: Vec<OutgoingDatagram>) -> SocketResult<u64>;
    fn subscribe(this: Resource<OutgoingDatagramStream>) -> Result<Pollable>;
    fn drop(this: Resource<OutgoingDatagramStream>) -> Result<()>;
}

impl tcp::Host for Recorded {}
impl tcp::Host for Player {}
impl udp::Host for Recorded {}
impl udp::Host for Player {}

/// The linker does not offer the unstable `network-error-code`, so no command can call it.
macro_rules! networks {
    ($($host:ty),*) => {$(
        impl network::Host for $host {
            fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
                error.downcast()
            }

            fn network_error_code(&mut self, _: Resource<Error>) -> Result<Option<ErrorCode>> {
                Ok(None)
            }
        }
    )*};
}

networks!(Recorded, Player);

/// The functions of this file.
pub(super) const ALL: &[&[Function]] =
    &[INSTANCE_NETWORK, NETWORK, LOOKUP, ADDRESSES, TCP_CREATE, UDP_CREATE, TCP, UDP, UDP_INPUT, UDP_OUTPUT];
