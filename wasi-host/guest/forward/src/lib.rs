//! A port forwarder as a component that a host drives. It connects each client to a server, whose address or name is its
//! argument, and that the host must permit:
//!
//! `sinbin-wasi run forward.wasm --listen 127.0.0.1:8080 --allow-connect example.org:80 -- example.org:80`
#![no_std]

extern crate alloc;

use alloc::string::String;
use core::time::Duration;

use sinbin_core::task::{Conn, Endpoint, Error, Handle, copy_bidirectional};
use sinbin_guest::log;

sinbin_guest::tasks!(arguments: Forward::new, serve: Forward::serve);

/// The maximum time to connect to the server.
const PATIENCE: Duration = Duration::from_secs(5);

struct Forward {
    to: String,
}

impl Forward {
    fn new(_: Handle<'static>, arguments: &[String]) -> Result<Self, String> {
        match arguments {
            [to] if matches!(Endpoint::parse(to), Endpoint::Address(_) | Endpoint::Name { .. }) => {
                Ok(Self { to: to.clone() })
            }
            _ => Err(String::from(
                "expected one argument: an address or a name, and a port, such as example.org:80",
            )),
        }
    }

    /// Forwards bytes in both directions until both have ended.
    async fn serve(&self, client: Conn<'_>) -> Result<(), Error> {
        let handle = client.handle();
        let server = handle.timeout(PATIENCE, handle.connect(&self.to)).await?;
        let server = server.inspect_err(|error| log::warn!("a client is turned away: {error}"))?;
        copy_bidirectional(&client, &server).await.map(drop)
    }
}
