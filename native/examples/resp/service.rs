//! The connections of the store. Requests can be pipelined: all that one read brings is answered by one write.

use alloc::vec::Vec;

use sinbin::task::{Conn, Error, Handle};

#[path = "store.rs"]
mod store;

use store::Progress;

/// The number of bytes that a client's replies may take before they are sent.
const MAX_REPLIES: usize = 64 * 1024;

/// The keys and their values.
#[derive(Default)]
pub struct Store(store::Store);

impl Store {
    /// Creates an empty store.
    pub fn new(_: Handle<'_>) -> Self {
        Self::default()
    }

    /// Serves a client until it has sent its last request, or something that is not RESP.
    pub async fn serve(&self, conn: Conn<'_>) -> Result<(), Error> {
        let (mut requests, mut replies) = (Vec::new(), Vec::new());
        loop {
            let received = conn.recv_with(|bytes| {
                requests.extend_from_slice(bytes);
                bytes.len()
            });
            if received.await? == 0 {
                return Ok(());
            }
            let mut read = 0;
            let ended = loop {
                match self.0.answer_first(&requests[read..], &mut replies) {
                    Progress::Answered(length) => read += length,
                    Progress::Incomplete => break false,
                    Progress::Nonsense => break true,
                }
                if replies.len() > MAX_REPLIES {
                    conn.send_all(&replies).await?;
                    replies.clear();
                }
            };
            requests.drain(..read);
            conn.send_all(&replies).await?;
            replies.clear();
            if ended {
                return Ok(());
            }
        }
    }
}
