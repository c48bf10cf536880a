//! An echo server for WebSocket: `websocket [--idle SECONDS] [ADDRESS]`, until Ctrl-C. In a browser:
//! `new WebSocket("ws://127.0.0.1:8080")`.
//!
//! The protocol is implemented by `async-tungstenite`, on the traits of `futures-io`. It answers pings. A client that sends
//! nothing for SECONDS (60) is sent a ping, and is disconnected if it sends nothing for as long again.

use std::error::Error;
use std::time::Duration;

use async_tungstenite::tungstenite::error::Error as WsError;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use async_tungstenite::tungstenite::{Bytes, Message};
use async_tungstenite::{WebSocketStream, accept_async_with_config};
use futures_util::StreamExt as _;
use sinbin::task::{self, Conn};

/// The maximum size of a message, and of each of its frames.
const MAX_MESSAGE: usize = 1 << 20;

/// The size of each client's buffer, which the library fills with zeros before each read.
const READ_BUFFER: usize = 4096;

/// The time that a client has for its request, and to receive a message.
const PATIENCE: Duration = Duration::from_secs(10);

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves a client. Where the server ends the conversation, the last frame says why, unless the client was silent.
async fn serve(conn: Conn<'_>, idle: Duration) -> Result<(), Box<dyn Error>> {
    let handle = conn.handle();
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let config = config.max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut socket = match handle.timeout(PATIENCE, accept_async_with_config(&conn, Some(config))).await? {
        Ok(socket) => socket,
        Err(WsError::Io(error)) => return Err(error.into()),
        Err(_) => return Ok(conn.send_all(BAD_REQUEST).await?),
    };
    let Err(error) = echo(&conn, &mut socket, idle).await else { return Ok(()) };
    let Some(code) = close_code(&*error) else { return Err(error) };
    let frame = CloseFrame { code, reason: "".into() };
    Ok(handle.timeout(PATIENCE, socket.close(Some(frame))).await??)
}

/// Sends each message back, until the client ends the conversation.
async fn echo(
    conn: &Conn<'_>,
    socket: &mut WebSocketStream<&Conn<'_>>,
    idle: Duration,
) -> Result<(), Box<dyn Error>> {
    let handle = conn.handle();
    let mut was_pinged = false;
    loop {
        let answer = match handle.timeout(idle, socket.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => {
                was_pinged = false;
                message?
            }
            Err(elapsed) if was_pinged => return Err(elapsed.into()),
            Err(_) => {
                was_pinged = true;
                Message::Ping(Bytes::new())
            }
        };
        // Pings and the end are answered by the library.
        if matches!(answer, Message::Text(_) | Message::Binary(_)) || was_pinged {
            handle.timeout(PATIENCE, socket.send(answer)).await??;
        }
    }
}

/// Returns the code that tells the client why the conversation ends, if the connection can still be used.
fn close_code(error: &(dyn Error + 'static)) -> Option<CloseCode> {
    match error.downcast_ref()? {
        // From the stop of the server on, receiving fails.
        WsError::Io(error) if task::Error::is_the_end_in(error) => Some(CloseCode::Away),
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        WsError::Capacity(_) => Some(CloseCode::Size),
        _ => None,
    }
}

fn main() -> Result<(), sinbin::MainError> {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut idle = Duration::from_secs(60);
    if arguments.next_if(|argument| argument == "--idle").is_some() {
        let seconds = arguments.next().ok_or("usage: websocket [--idle SECONDS] [ADDRESS]")?;
        idle = Duration::from_secs(seconds.parse()?);
    }
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    sinbin::run(async |handle| {
        let listener = handle.listen(&*address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        handle.serve(listener, async move |conn| serve(conn, idle).await).await
    })??;
    Ok(())
}
