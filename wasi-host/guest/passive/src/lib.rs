//! A service that listens while it runs, as FTP does in passive mode. For each line that a client sends, the service listens
//! on the address of its argument, answers with the address that the listener got, and serves one connection there: it
//! sends back what it receives. Then it closes the listener, and answers with the number of bytes.
//!
//! `sinbin-wasi run passive.wasm --listen 127.0.0.1:8080 --allow-listen '127.0.0.1:*' -- 127.0.0.1:0`
#![no_std]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

use sinbin_core::task::{Conn, Error, Handle, copy};

sinbin_guest::tasks!(arguments: Passive::new, serve: Passive::serve);

struct Passive {
    address: SocketAddr,
}

impl Passive {
    fn new(_: Handle<'static>, arguments: &[String]) -> Result<Self, String> {
        let [address] = arguments else { return Err("expected one argument, an address".into()) };
        let address = address.parse().map_err(|_| format!("{address:?} is no address"))?;
        Ok(Self { address })
    }

    async fn serve(&self, client: Conn<'_>) -> Result<(), Error> {
        let mut lines = client.lines([0; 64]);
        while let Some(line) = lines.next().await? {
            assert_ne!(line, b"fail", "as the client has asked");
            let answer = match self.serve_one(client.handle(), &client).await {
                Ok(count) => format!("{count} bytes\n"),
                Err(error) => format!("error: {error}\n"),
            };
            client.send_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    /// Listens, and serves the first connection. Returns the number of its bytes.
    async fn serve_one<'d>(&self, handle: Handle<'d>, client: &Conn<'d>) -> Result<u64, Error> {
        let listener = handle.listen(self.address)?;
        let address = listener.bound().await?;
        client.send_all(format!("{address}\n").as_bytes()).await?;
        let (conn, _) = listener.accept().await?;
        copy(&conn, &conn).await
    }
}
