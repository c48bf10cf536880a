//! The talk's second server: a thread for each client. In Python, the clients share one core, and the client that
//! computes most gets most of it. Here each thread can run on its own core, and the system schedules threads fairly if
//! there are more threads than cores. `talk_2 [ADDRESS]`

#[path = "talk/service.rs"]
mod service;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use sinbin::fib::fib;

fn fib_server(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (client, peer) = listener.accept()?;
        eprintln!("connection {peer}");
        thread::spawn(move || {
            if let Err(error) = fib_handler(client) {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

fn fib_handler(mut client: TcpStream) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.read(&mut request)?;
        if count == 0 {
            eprintln!("closed");
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let response = format!("{}\n", fib(n));
        client.write_all(response.as_bytes())?;
    }
}

fn main() -> Result<(), sinbin::MainError> {
    Ok(fib_server(&service::listen()?)?)
}
