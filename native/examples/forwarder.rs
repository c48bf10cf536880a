//! A TCP port forwarder: `forwarder TARGET [ADDRESS]`. Connections to ADDRESS are forwarded to TARGET, such as
//! `127.0.0.1:25000` or `example.org:80`. Where one side has sent its last byte, the other side learns of it, and can still answer.

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use sinbin::Settings;
use sinbin::net::copy_bidirectional;
use sinbin::task::{self, Conn};

async fn forward(client: Conn<'_>, target: &str) -> Result<(), task::Error> {
    let handle = client.handle();
    let server = handle.timeout(Duration::from_secs(10), handle.connect(target)).await??;
    copy_bidirectional(&client, &server).await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().ok_or("usage: forwarder TARGET [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:25001".into());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    Settings::default().serve([listener], |_| {}, async |client| forward(client, &target).await)?;
    Ok(())
}
