//! The talk's third server: a thread for each client, and a pool that computes. In Python, the pool consists of
//! processes, because only then does a slow client not delay a fast one. Each request pays for the round trip to the
//! pool. Here that buys nothing, because threads compute in parallel anyway. `talk_3 [ADDRESS]`

#[path = "talk/pool.rs"]
mod pool;
#[path = "talk/service.rs"]
mod service;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use pool::Pool;
use sinbin::fib::fib;

fn fib_server(listener: &TcpListener, pool: &Pool) -> Result<(), Box<dyn Error>> {
    loop {
        let (client, peer) = listener.accept()?;
        eprintln!("connection {peer}");
        let pool = pool.clone();
        thread::spawn(move || {
            if let Err(error) = fib_handler(client, &pool) {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

fn fib_handler(mut client: TcpStream, pool: &Pool) -> Result<(), Box<dyn Error>> {
    let mut request = [0; 100];
    loop {
        let count = client.read(&mut request)?;
        if count == 0 {
            eprintln!("closed");
            return Ok(());
        }
        let n = service::number(&request[..count])?;
        let future = pool.submit(move || fib(n));
        let result = future.recv()?; // blocks only this thread
        client.write_all(format!("{result}\n").as_bytes())?;
    }
}

fn main() -> Result<(), sinbin::MainError> {
    Ok(fib_server(&service::listen()?, &Pool::new())?)
}
