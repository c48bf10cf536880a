//! Functions that the six servers of the talk share.

use std::error::Error;
use std::net::TcpListener;
use std::{env, io, str};

/// Listens on the address given on the command line, and prints the bound address.
pub fn listen() -> io::Result<TcpListener> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:25000".into());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// Parses a request, like the talk's `int(request)`. Each read is a request, with or without a newline. Returns an
/// error if the request is not a number, which ends the connection.
pub fn number(request: &[u8]) -> Result<u32, Box<dyn Error>> {
    Ok(str::from_utf8(request)?.trim().parse()?)
}
