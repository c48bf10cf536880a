//! The echo server as a coroutine: `echo [ADDRESS]`. Try it with `nc 127.0.0.1 25000`.

use std::net::TcpListener;

use sinbin::Settings;
use sinbin::task::{self, Conn};

async fn echo(conn: Conn<'_>) -> Result<(), task::Error> {
    let mut buf = [0; 512];
    loop {
        let n = conn.recv(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        conn.send_all(&buf[..n]).await?;
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let Some(address) = std::env::args().nth(1) else {
        // This line is the whole server.
        sinbin::serve("127.0.0.1:25000", echo)?;
        return Ok(());
    };
    // With a listener of its own, the program can print the port that the system chose.
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    Settings::default().serve([listener], |_| {}, echo)?;
    Ok(())
}
