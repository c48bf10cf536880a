//! Messages for many: `publish [ADDRESS]`. The first byte of a client says whether it subscribes (`S`) or publishes.

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};

use super::accept;
use crate::MainError;

/// The length of a message.
const MESSAGE: usize = 32;

/// The number of messages that are kept for slow subscribers.
const KEPT: usize = 1024;

type Message = [u8; MESSAGE];

async fn serve(mut stream: TcpStream, messages: Rc<Sender<Message>>) -> io::Result<()> {
    if stream.read_u8().await? == b'S' {
        let mut receiver = messages.subscribe();
        stream.write_all(b"+").await?;
        loop {
            match receiver.recv().await {
                Ok(message) => stream.write_all(&message).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).await.is_ok() {
        // Without subscribers a message is lost.
        messages.send(message).ok();
    }
    Ok(())
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let listener = accept::listen(arguments.first().map_or("127.0.0.1:25000", String::as_str)).await?;
    let messages = Rc::new(broadcast::channel(KEPT).0);
    Ok(accept::serve(listener, |stream| serve(stream, Rc::clone(&messages))).await?)
}
