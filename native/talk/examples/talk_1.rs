//! The talk's first server: one thread, one client at a time. A second client is served when the first one has
//! disconnected. `talk_1 [ADDRESS]`

#[path = "talk/service.rs"]
mod service;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use sinbin::fib::fib;

fn fib_server(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (client, peer) = listener.accept()?; // blocks
        eprintln!("connection {peer}");
        if let Err(error) = fib_handler(client) {
            eprintln!("{peer}: {error}");
        }
    }
}

fn fib_handler(mut client: TcpStream) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.read(&mut request)?; // blocks
        if count == 0 {
            eprintln!("closed");
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let response = format!("{}\n", fib(n));
        client.write_all(response.as_bytes())?; // blocks
    }
}

fn main() -> Result<(), sinbin::MainError> {
    Ok(fib_server(&service::listen()?)?)
}
