//! The TLS terminator: `tls-terminator CERTIFICATE KEY TARGET [ADDRESS]`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::accept;
use crate::pem::server_config;
use crate::{MainError, argument};

/// The time for a handshake, and for a connection to the target.
const PATIENCE: Duration = Duration::from_secs(10);

async fn forward(acceptor: TlsAcceptor, client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut client = timeout(PATIENCE, acceptor.accept(client)).await??;
    let mut server = timeout(PATIENCE, TcpStream::connect(target)).await??;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let config = server_config(argument(arguments, 0, "CERTIFICATE")?, argument(arguments, 1, "KEY")?)?;
    let target = argument(arguments, 2, "TARGET")?.parse()?;
    let acceptor = TlsAcceptor::from(config);
    let listener = accept::listen(arguments.get(3).map_or("127.0.0.1:25001", String::as_str)).await?;
    Ok(accept::serve(listener, |client| forward(acceptor.clone(), client, target)).await?)
}
