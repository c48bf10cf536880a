//! The TCP sockets of `wasi:sockets/types`.

use std::future::{poll_fn, ready};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::net::sockopt;
use wasmtime::Result;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};
use wasmtime_wasi::p2;
use wasmtime_wasi::p3::bindings::sockets::types::{
    Duration, ErrorCode, Host, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::TcpSocket;

use super::super::Guest;
use super::super::addresses::unspecified;
use super::super::io::Io;
use super::super::socket_options as options;
use super::super::sources::{Kind, Part, handle};
use super::super::tasks::{Held, Hold};
use super::super::tcp::State;
use super::P3;
use super::accept::Accepting;
use super::addresses::{of_old, to_old};
use super::errors::{socket_error, would_block};
use super::receive::Receiving;
use super::send::Sending;
use super::stream_end::StreamEnd;

/// The result of a stream, which a future tells the guest.
type StreamOutcome = FutureReader<Result<(), ErrorCode>>;

impl Io {
    /// Connects a socket, once [`start_connect`](Self::start_connect) has begun it.
    fn poll_connect(&mut self, index: u32, context: &Context<'_>) -> Poll<SocketResult<()>> {
        loop {
            // A socket that was refused at once has no event to wait for.
            let is_connecting = self.tcp(index).is_ok_and(|(tcp, _)| tcp.is_connecting());
            if is_connecting {
                match self.poll_ready(index, Part::Socket, context) {
                    Poll::Ready(ready) => ready.map_err(SocketError::trap)?,
                    Poll::Pending => return Poll::Pending,
                }
            }
            match self.finish_connect(index) {
                Err(error) if would_block(&error) => {}
                connected => return Poll::Ready(connected.map_err(socket_error)),
            }
        }
    }

    /// Lets a socket listen, and returns the handle of its stream.
    fn listen_on(&mut self, index: u32) -> Result<Hold, p2::SocketError> {
        let (tcp, _) = self.tcp(index)?;
        if tcp.state == State::Unbound {
            let any = unspecified(tcp.family);
            self.bind_now(index, any)?;
        }
        self.start_listen(index)?;
        let source = self.sources.of(index).map_err(p2::SocketError::trap)?;
        if let Kind::Listener(listener) = &mut source.kind {
            listener.is_starting = false;
        }
        source.held |= handle::INPUT;
        self.count(1).map_err(p2::SocketError::trap)?;
        Ok(self.tasks.hold(Held::Source(index, handle::INPUT)))
    }

    fn bind_now(&mut self, index: u32, address: SocketAddr) -> Result<(), p2::SocketError> {
        self.start_bind(index, address)?;
        self.tcp(index)?.0.state = State::Bound;
        Ok(())
    }

    /// Takes one direction of a connection, which is possible once. Returns its socket, and the handle of its stream.
    ///
    /// # Errors
    ///
    /// Traps if the guest holds too many resources. The inner error is one that the guest is told.
    fn take(&mut self, index: u32, direction: u8) -> Result<Result<(Arc<OwnedFd>, Hold), ErrorCode>> {
        let source = self.sources.of(index)?;
        let Kind::Tcp(tcp) = &mut source.kind else { return Ok(Err(ErrorCode::InvalidState)) };
        if tcp.state != State::Connected || tcp.taken & direction != 0 {
            return Ok(Err(ErrorCode::InvalidState));
        }
        tcp.taken |= direction;
        source.held |= direction;
        let socket = Arc::clone(&source.descriptor);
        self.count(1)?;
        Ok(Ok((socket, self.tasks.hold(Held::Source(index, direction)))))
    }
}

impl Host for Guest {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.downcast()
    }
}

impl HostTcpSocketWithStore<Guest> for P3 {
    async fn connect(
        store: &Accessor<Guest, Self>,
        socket: Resource<TcpSocket>,
        remote_address: IpSocketAddress,
    ) -> SocketResult<()> {
        let index = socket.rep();
        let started = store.with(|mut store| store.get().io.start_connect(index, remote_address.into()));
        started.map_err(socket_error)?;
        poll_fn(|context| store.with(|mut store| store.get().io.poll_connect(index, context))).await
    }

    async fn listen(
        mut store: Access<'_, Guest, Self>,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<StreamReader<Resource<TcpSocket>>> {
        let index = socket.rep();
        let hold = store.get().io.listen_on(index).map_err(socket_error)?;
        StreamReader::new(&mut store, Accepting { index, _hold: hold }).map_err(SocketError::trap)
    }

    fn send(
        mut store: Access<'_, Guest, Self>,
        socket: Resource<TcpSocket>,
        mut data: StreamReader<u8>,
    ) -> Result<StreamOutcome> {
        let index = socket.rep();
        match store.get().io.take(index, handle::OUTPUT)? {
            Ok((socket, hold)) => {
                let (end, result) = StreamEnd::new();
                data.pipe(&mut store, Sending { index, socket, end, _hold: hold })?;
                FutureReader::new(&mut store, result)
            }
            Err(error) => {
                data.close(&mut store)?;
                FutureReader::new(&mut store, ready(wasmtime::error::Ok(Err(error))))
            }
        }
    }

    fn receive(
        mut store: Access<'_, Guest, Self>,
        socket: Resource<TcpSocket>,
    ) -> Result<(StreamReader<u8>, StreamOutcome)> {
        let index = socket.rep();
        match store.get().io.take(index, handle::INPUT)? {
            Ok((socket, hold)) => {
                let (end, result) = StreamEnd::new();
                let receiving = Receiving { index, socket, end, _hold: hold };
                Ok((StreamReader::new(&mut store, receiving)?, FutureReader::new(&mut store, result)?))
            }
            Err(error) => Ok((
                StreamReader::new(&mut store, std::iter::empty())?,
                FutureReader::new(&mut store, ready(wasmtime::error::Ok(Err(error))))?,
            )),
        }
    }
}

impl HostTcpSocket for Guest {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.io.settle();
        self.io.create_tcp(to_old(family)).map(Resource::new_own).map_err(socket_error)
    }

    async fn bind(&mut self, socket: Resource<TcpSocket>, address: IpSocketAddress) -> SocketResult<()> {
        self.io.bind_now(socket.rep(), address.into()).map_err(socket_error)
    }

    fn get_local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.local(socket.rep()).map(Into::into).map_err(socket_error)
    }

    fn get_remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.io.remote(socket.rep()).map(Into::into).map_err(socket_error)
    }

    fn get_is_listening(&mut self, socket: Resource<TcpSocket>) -> Result<bool> {
        Ok(matches!(self.io.sources.of(socket.rep())?.kind, Kind::Listener(_)))
    }

    fn get_address_family(&mut self, socket: Resource<TcpSocket>) -> Result<IpAddressFamily> {
        self.io.family(socket.rep()).map(of_old)
    }

    fn set_listen_backlog_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.io.set_backlog(socket.rep(), value).map_err(socket_error)
    }

    fn get_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        let socket = self.io.socket(socket.rep()).map_err(socket_error)?;
        Ok(sockopt::socket_keepalive(socket).map_err(ErrorCode::from)?)
    }

    fn set_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep()).map_err(socket_error)?;
        Ok(sockopt::set_socket_keepalive(socket, value).map_err(ErrorCode::from)?)
    }

    fn get_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<Duration> {
        self.io.socket(socket.rep()).and_then(options::keep_alive_idle).map_err(socket_error)
    }

    fn set_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>, value: Duration) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_keep_alive_idle(socket, value)).map_err(socket_error)
    }

    fn get_keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<Duration> {
        self.io.socket(socket.rep()).and_then(options::keep_alive_interval).map_err(socket_error)
    }

    fn set_keep_alive_interval(&mut self, socket: Resource<TcpSocket>, value: Duration) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_keep_alive_interval(socket, value)).map_err(socket_error)
    }

    fn get_keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        let socket = self.io.socket(socket.rep()).map_err(socket_error)?;
        Ok(sockopt::tcp_keepcnt(socket).map_err(ErrorCode::from)?)
    }

    fn set_keep_alive_count(&mut self, socket: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_keep_alive_count(socket, value)).map_err(socket_error)
    }

    fn get_hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        self.io.hop_limit(socket.rep()).map_err(socket_error)
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.io.set_hop_limit(socket.rep(), value).map_err(socket_error)
    }

    fn get_receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.io.socket(socket.rep()).and_then(options::receive_buffer).map_err(socket_error)
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_receive_buffer(socket, value)).map_err(socket_error)
    }

    fn get_send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.io.socket(socket.rep()).and_then(options::send_buffer).map_err(socket_error)
    }

    fn set_send_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        let socket = self.io.socket(socket.rep());
        socket.and_then(|socket| options::set_send_buffer(socket, value)).map_err(socket_error)
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> Result<()> {
        self.io.release(socket.rep(), handle::SOCKET);
        Ok(())
    }
}
