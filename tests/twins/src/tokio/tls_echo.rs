//! An echo server with TLS: `tls-echo CERTIFICATE KEY [ADDRESS]`.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::accept;
use crate::pem::server_config;
use crate::{MainError, argument};

/// The most bytes of a TLS record.
const RECORD: usize = 16 * 1024;

async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; RECORD];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown().await,
            count => stream.write_all(&buffer[..count]).await?,
        }
        stream.flush().await?;
    }
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let config = server_config(argument(arguments, 0, "CERTIFICATE")?, argument(arguments, 1, "KEY")?)?;
    let acceptor = TlsAcceptor::from(config);
    let listener = accept::listen(arguments.get(2).map_or("127.0.0.1:25001", String::as_str)).await?;
    Ok(accept::serve(listener, |stream| echo(acceptor.clone(), stream)).await?)
}
