//! An echo server on wstd, as wstd's own example has it, for the tests of the host: `wstd-echo ADDR`.

#![allow(missing_docs, reason = "the macro of wstd makes a function without any")]

use wstd::io;
use wstd::iter::AsyncIterator;
use wstd::net::TcpListener;

#[wstd::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_default();
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        let stream = stream?;
        wstd::runtime::spawn(async move {
            // A client that breaks off ends only its own task.
            io::copy(&stream, &stream).await.ok();
        })
        .detach();
    }
    Ok(())
}
