//! A socket that takes connections.

use core::net::SocketAddr;

use sinbin_core::IoError;
use wasi::io::poll::Pollable;
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::network::ErrorCode;
use wasi::sockets::tcp::TcpSocket;
use wasi::sockets::tcp_create_socket::create_tcp_socket;

use crate::address::{family, from_wasi, to_wasi};
use crate::connection::Connection;

/// Connections that the system keeps for us until they are accepted.
const BACKLOG: u64 = 1024;

/// A listener. The order of its fields is the order that children are dropped in, before their parent.
pub(crate) struct Listener {
    pub(crate) incoming: Pollable,
    socket: TcpSocket,
}

impl Listener {
    /// Listens on `address`.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, ErrorCode> {
        let socket = create_tcp_socket(family(address))?;
        let progress = socket.subscribe();
        socket.start_bind(&instance_network(), to_wasi(address))?;
        finish(&progress, || socket.finish_bind())?;
        // A host may have a backlog of its own; that is no reason not to listen.
        socket.set_listen_backlog_size(BACKLOG).ok();
        socket.start_listen()?;
        finish(&progress, || socket.finish_listen())?;
        Ok(Self { incoming: progress, socket })
    }

    /// The address it got: with port 0, the system chose one.
    pub(crate) fn address(&self) -> Result<SocketAddr, ErrorCode> {
        self.socket.local_address().map(from_wasi)
    }

    /// Takes a connection.
    pub(crate) fn accept(&self) -> Result<Connection, IoError> {
        match self.socket.accept() {
            Ok((socket, input, output)) => Ok(Connection::new(socket, input, output)),
            Err(ErrorCode::WouldBlock) => Err(IoError::WouldBlock),
            Err(ErrorCode::ConnectionAborted | ErrorCode::ConnectionReset) => Err(IoError::Reset),
            Err(ErrorCode::NewSocketLimit | ErrorCode::OutOfMemory) => Err(IoError::NoRoom),
            Err(error) => Err(IoError::Os(error as i32)),
        }
    }
}

/// Waits for the end of what was started.
fn finish(progress: &Pollable, end: impl Fn() -> Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    loop {
        match end() {
            Err(ErrorCode::WouldBlock) => progress.block(),
            over => return over,
        }
    }
}
