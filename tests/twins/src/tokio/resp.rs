//! The store that speaks RESP: `resp [ADDRESS]`.

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::accept;
use crate::MainError;

#[path = "../../../../native/examples/resp/store.rs"]
mod store;

use store::{Progress, Store};

/// The number of bytes that a client's replies may take before they are sent.
const MAX_REPLIES: usize = 64 * 1024;

/// The minimum capacity of a read.
const READ: usize = 16 * 1024;

async fn serve(mut stream: TcpStream, store: Rc<Store>) -> io::Result<()> {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    loop {
        requests.reserve(READ);
        if stream.read_buf(&mut requests).await? == 0 {
            return Ok(());
        }
        let mut read = 0;
        let ended = loop {
            match store.answer_first(&requests[read..], &mut replies) {
                Progress::Answered(length) => read += length,
                Progress::Incomplete => break false,
                Progress::Nonsense => break true,
            }
            if replies.len() > MAX_REPLIES {
                stream.write_all(&replies).await?;
                replies.clear();
            }
        };
        requests.drain(..read);
        stream.write_all(&replies).await?;
        replies.clear();
        if ended {
            return Ok(());
        }
    }
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let listener = accept::listen(arguments.first().map_or("127.0.0.1:25000", String::as_str)).await?;
    let store = Rc::new(Store::default());
    Ok(accept::serve(listener, |stream| serve(stream, Rc::clone(&store))).await?)
}
