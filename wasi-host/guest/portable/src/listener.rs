//! A socket that accepts connections.

use core::net::SocketAddr;

use sinbin_core::IoError;
use wasi::io::poll::Pollable;
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::network::ErrorCode;
use wasi::sockets::tcp::TcpSocket;
use wasi::sockets::tcp_create_socket::create_tcp_socket;

use crate::address::{family, from_wasi, to_wasi};
use crate::connection::Connection;

/// The length of the backlog of connections that are not accepted yet.
const BACKLOG: u64 = 1024;

/// A listener. The fields are dropped in their order, so that children are dropped before their parent.
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
        // An error is ignored: the host may have a fixed backlog.
        socket.set_listen_backlog_size(BACKLOG).ok();
        socket.start_listen()?;
        finish(&progress, || socket.finish_listen())?;
        Ok(Self { incoming: progress, socket })
    }

    /// Returns the bound address. If port 0 was requested, it contains the port that the system chose.
    pub(crate) fn address(&self) -> Result<SocketAddr, ErrorCode> {
        self.socket.local_address().map(from_wasi)
    }

    /// Accepts a connection.
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

/// Blocks until the started operation has ended.
fn finish(progress: &Pollable, end: impl Fn() -> Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    loop {
        match end() {
            Err(ErrorCode::WouldBlock) => progress.block(),
            over => return over,
        }
    }
}
