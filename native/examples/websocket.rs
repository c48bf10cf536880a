//! An echo server for WebSocket: `websocket [ADDRESS]`. In a browser: `new WebSocket("ws://127.0.0.1:8080")`.
//!
//! The protocol is implemented by `tungstenite`, which reads from and writes to a [`Wire`] in memory. It never blocks there:
//! where bytes are missing, the task receives them, and what was written is sent.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use sinbin::task::{Conn, Error as ConnError};
use sinbin::{ByteStream, Settings};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket, accept_with_config};

/// The maximum size of a message.
const MAX_MESSAGE: usize = 1 << 20;

/// The time that a client has for its request.
const PATIENCE: Duration = Duration::from_secs(10);

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The bytes between `tungstenite` and a connection.
#[derive(Default)]
struct Wire {
    received: VecDeque<u8>,
    has_ended: bool,
    to_send: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() && !self.has_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.received.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_send.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    async fn send<'d>(&mut self, conn: &impl ByteStream<'d>) -> Result<(), ConnError> {
        conn.send_all(&self.to_send).await?;
        self.to_send.clear();
        Ok(())
    }

    async fn receive(&mut self, conn: &Conn<'_>) -> Result<(), ConnError> {
        self.send(conn).await?;
        self.has_ended = conn
            .recv_with(|bytes| {
                self.received.extend(bytes);
                bytes.is_empty()
            })
            .await?;
        Ok(())
    }
}

/// Answers the request of the client. Returns `None` if it is none for WebSocket.
async fn accept(conn: &Conn<'_>) -> Result<Option<WebSocket<Wire>>, ConnError> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut accepted = accept_with_config(Wire::default(), Some(config));
    loop {
        match accepted {
            Ok(socket) => return Ok(Some(socket)),
            Err(HandshakeError::Interrupted(mut handshake)) => {
                handshake.get_mut().get_mut().receive(conn).await?;
                accepted = handshake.handshake();
            }
            Err(HandshakeError::Failure(_)) => {
                conn.send_all(BAD_REQUEST).await?;
                return Ok(None);
            }
        }
    }
}

async fn echo(conn: Conn<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let accepted = conn.handle().timeout(PATIENCE, accept(&conn)).await?;
    let Some(mut socket) = accepted? else { return Ok(()) };
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                socket.send(message)?;
                socket.get_mut().send(&conn).await?;
            }
            // Pings and the end are answered by `tungstenite`.
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                socket.get_mut().receive(&conn).await?;
            }
            Err(Error::ConnectionClosed) => return Ok(socket.get_mut().send(&conn).await?),
            Err(error) => {
                socket.get_mut().send(&conn).await?;
                return Err(error.into());
            }
        }
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = sinbin::bind(address.parse()?)?;
    println!("listening on {}", listener.local_addr()?);
    Settings::default().serve([listener], |_| {}, echo)?;
    Ok(())
}
