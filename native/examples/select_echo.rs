//! The echo server of the tutorials on `select`, with its message queues and its log: `select_echo [ADDRESS]`.
//!
//! In the tutorials, one loop queries all sockets for those that are readable, writable or in an exceptional condition.
//! Here each connection has a task, which waits for these three conditions of its own socket. The state of the loop
//! (the lists, and the dictionary of queues) becomes variables of the task.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;

use sinbin::task::{self, Conn, Either, Handle, select};

/// The maximum number of messages queued for a slow client. At the limit, the task does not read from the client.
const MAX_MESSAGES: usize = 64;

async fn echo(conn: Conn<'_>, peer: SocketAddr) {
    match exchange(&conn, peer).await {
        Ok(()) => eprintln!("closing {peer} after reading no data"),
        Err(error) => eprintln!("handling exceptional condition for {peer}: {error}"),
    }
}

async fn exchange(conn: &Conn<'_>, peer: SocketAddr) -> Result<(), task::Error> {
    let mut messages: VecDeque<Vec<u8>> = VecDeque::new();
    let mut data = [0; 1024];
    let mut has_ended = false;
    while !(has_ended && messages.is_empty()) {
        let has_room = !has_ended && messages.len() < MAX_MESSAGES;
        let readable = async { if has_room { conn.recv(&mut data).await } else { pending().await } };
        let writable = async {
            match messages.front() {
                Some(message) => conn.send(message).await,
                None => pending().await,
            }
        };
        // Waits for the first of the three operations. The other two are dropped without having had an effect.
        match select(readable, select(writable, conn.hangup())).await {
            Either::First(count) => match count? {
                0 => has_ended = true,
                count => {
                    let message = &data[..count];
                    eprintln!("received \"{}\" from {peer}", message.escape_ascii());
                    messages.push_back(message.to_vec());
                }
            },
            Either::Second(Either::First(sent)) => {
                let sent = sent?;
                let Some(mut message) = messages.pop_front() else { continue };
                eprintln!("sending \"{}\" to {peer}", message[..sent].escape_ascii());
                message.drain(..sent);
                if !message.is_empty() {
                    messages.push_front(message);
                } else if messages.is_empty() {
                    eprintln!("output queue for {peer} is empty");
                }
            }
            // The next operation reports whether and why the connection has ended.
            Either::Second(Either::Second(hangup)) => hangup?,
        }
    }
    Ok(())
}

async fn serve(handle: Handle<'_>, address: SocketAddr) -> Result<(), task::Error> {
    let listener = handle.listen(address)?;
    println!("listening on {}", listener.address());
    loop {
        let (conn, peer) = listener.accept().await?;
        let peer = peer.unwrap_or(address);
        eprintln!("new connection from {peer}");
        handle.spawn(echo(conn, peer))?;
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:25000".into());
    let address = address.parse()?;
    sinbin::run(async |handle| serve(handle, address).await)??;
    Ok(())
}
