//! A port forwarder as a component that a host drives. It connects each client to a server, whose address or name is its
//! argument, and that the host must permit:
//!
//! `sinbin-wasi run forward.wasm --listen 127.0.0.1:8080 --allow-connect example.org:80 -- example.org:80`
#![no_std]

extern crate alloc;

mod service;

use alloc::string::String;

use sinbin_core::task::{Conn, Endpoint, Error, Handle};
use sinbin_guest::log;

use crate::service::forward;

sinbin_guest::tasks!(arguments: Forward::new, serve: Forward::serve);

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

    /// Forwards the bytes of a client.
    async fn serve(&self, client: Conn<'_>) -> Result<(), Error> {
        forward(&client, &self.to, |error| log::warn!("a client is turned away: {error}")).await
    }
}
