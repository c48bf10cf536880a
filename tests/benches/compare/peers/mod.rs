//! The servers to which sinbin is compared: the same protocol, with the same code, on four different loops.

mod bare;
mod connection;
mod mio;
pub(crate) mod protocol;
mod smol;
mod tokio;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::server::Who;

/// The backlog of sinbin's own listener.
const BACKLOG: i32 = 1024;

/// Serves until the process is killed.
pub(crate) fn serve(who: Who) -> io::Result<()> {
    let serve = match who {
        Who::Bare => bare::serve,
        Who::Mio => mio::serve,
        Who::Tokio => tokio::serve,
        Who::Smol => smol::serve,
        Who::Sinbin
        | Who::SinbinAsync
        | Who::SinbinSlices
        | Who::Recorded
        | Who::Driven
        | Who::Portable
        | Who::Redis
        | Who::Nginx
        | Who::Wget
        | Who::Aiohttp => {
            return Err(io::Error::other(format!("{} is not served by this program", who.name())));
        }
    };
    serve(listen()?)
}

/// Creates a nonblocking listener on a free port, and prints its address to stdout.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let mut out = io::stdout();
    writeln!(out, "listening on {}", listener.local_addr()?)?;
    out.flush()?;
    Ok(listener)
}
