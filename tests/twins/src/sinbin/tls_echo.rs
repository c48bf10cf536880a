//! An echo server with TLS: `tls-echo CERTIFICATE KEY [ADDRESS]`.

use sinbin::task::Conn;
use sinbin::tls::{Identity, TlsAcceptor};

use super::address;
use crate::{MainError, argument};

/// The most bytes of a TLS record.
const RECORD: usize = 16 * 1024;

async fn echo(acceptor: &TlsAcceptor, conn: Conn<'_>) -> Result<(), MainError> {
    let conn = acceptor.accept(conn).await?;
    let mut buffer = vec![0; RECORD];
    loop {
        match conn.recv(&mut buffer).await? {
            0 => return Ok(conn.shutdown().await?),
            count => conn.send_all(&buffer[..count]).await?,
        }
    }
}

pub(super) fn main(arguments: &[String]) -> Result<(), MainError> {
    let (certificate, key) = (argument(arguments, 0, "CERTIFICATE")?, argument(arguments, 1, "KEY")?);
    let acceptor = TlsAcceptor::new(Identity::from_pem_files(certificate, key)?)?;
    sinbin::run(async |handle| {
        let listener = handle.listen(address(arguments, 2))?;
        println!("listening on {}", listener.address());
        handle.spawn(sinbin::signal::stop(handle))?;
        handle.serve(listener, async move |conn| echo(&acceptor, conn).await).await
    })??;
    Ok(())
}
