//! A TLS terminator: `tls_terminator CERTIFICATE KEY TARGET [ADDRESS]`. Connections with TLS to ADDRESS are forwarded to
//! TARGET, an address such as `127.0.0.1:25000`, without TLS. CERTIFICATE and KEY are PEM files.
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
//!     -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
//! cargo run --example tls_terminator --features tls -- cert.pem key.pem 127.0.0.1:25000 127.0.0.1:25001
//! openssl s_client -connect 127.0.0.1:25001 -CAfile cert.pem
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use sinbin::task::Conn;
use sinbin::tls::{Identity, TlsAcceptor, copy_bidirectional};

async fn forward(acceptor: &TlsAcceptor, client: Conn<'_>, target: SocketAddr) -> Result<(), Box<dyn Error>> {
    let handle = client.handle();
    let client = acceptor.accept(client).await?;
    let server = handle.timeout(Duration::from_secs(10), handle.connect(target)).await??;
    copy_bidirectional(&client, &server).await?;
    Ok(())
}

fn main() -> Result<(), sinbin::MainError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    const USAGE: &str = "usage: tls_terminator CERTIFICATE KEY TARGET [ADDRESS]";
    let mut arguments = std::env::args().skip(1);
    let certificate = arguments.next().ok_or(USAGE)?;
    let key = arguments.next().ok_or(USAGE)?;
    let target = arguments.next().ok_or(USAGE)?.parse()?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:25001".into());
    let acceptor = TlsAcceptor::new(Identity::from_pem_files(certificate, key)?)?;
    sinbin::run(async |handle| {
        let listener = handle.listen(&*address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        handle.serve(listener, async move |client| forward(&acceptor, client, target).await).await
    })??;
    Ok(())
}
