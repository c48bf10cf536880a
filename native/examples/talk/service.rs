//! What the six servers of the talk have in common.

use std::error::Error;
use std::net::TcpListener;
use std::{env, io, str};

/// Listens on the address that the command line names, and says where that is.
pub fn listen() -> io::Result<TcpListener> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:25000".into());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// The talk's `int(request)`: a read is a request, with or without a newline. What is no number ends the connection.
pub fn number(request: &[u8]) -> Result<u32, Box<dyn Error>> {
    Ok(str::from_utf8(request)?.trim().parse()?)
}
