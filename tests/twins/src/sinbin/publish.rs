//! Messages for many: `publish [ADDRESS]`. The first byte of a client says whether it subscribes (`S`) or publishes.

use sinbin::sync::{Broadcast, RecvError};
use sinbin::task::{Conn, Error};

use super::address;
use crate::MainError;

/// The length of a message.
const MESSAGE: usize = 32;

/// The number of messages that are kept for slow subscribers.
const KEPT: usize = 1024;

type Messages<'d> = Broadcast<'d, [u8; MESSAGE], KEPT>;

async fn serve(conn: Conn<'_>, messages: &Messages<'_>) -> Result<(), Error> {
    let mut kind = [0];
    conn.recv_exact(&mut kind).await?;
    if kind == *b"S" {
        let mut receiver = messages.receiver();
        conn.send_all(b"+").await?;
        loop {
            match receiver.recv().await {
                Ok(message) => conn.send_all(&message).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(_) => return Ok(()),
            }
        }
    }
    let mut message = [0; MESSAGE];
    while conn.recv_exact(&mut message).await.is_ok() {
        messages.send(message).ok();
    }
    Ok(())
}

pub(super) fn main(arguments: &[String]) -> Result<(), MainError> {
    sinbin::run(async |handle| {
        let listener = handle.listen(address(arguments, 0))?;
        println!("listening on {}", listener.address());
        handle.spawn(sinbin::signal::stop(handle))?;
        let messages = Messages::new(handle);
        handle.serve(listener, async move |conn| serve(conn, &messages).await).await
    })??;
    Ok(())
}
