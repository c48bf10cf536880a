//! The seventh crawler: `async fn`s. The compiler writes the coroutines, `.await` is `yield from`, and sinbin has the rest:
//! futures, tasks and the loop.

use sinbin::group::JoinSet;
use sinbin::task::{Conn, Handle};

use crate::crawl::{Crawl, Request};
use crate::error::Error;
use crate::response::Response;

pub fn crawl(crawl: Crawl) -> Result<Crawl, Error> {
    sinbin::run(async |handle| follow(handle, crawl).await)?
}

/// Spawns a task for each page that remains, until none is left.
async fn follow(handle: Handle<'_>, mut crawl: Crawl) -> Result<Crawl, Error> {
    let fetches = JoinSet::new(handle);
    loop {
        while let Some(request) = crawl.next() {
            fetches.spawn(async move {
                let response = fetch(handle, &request).await;
                (request, response)
            })?;
        }
        match fetches.join_next().await? {
            Some((_, fetched)) => {
                let (request, response) = fetched?; // an error if the task has panicked
                crawl.fetched(&request, response);
            }
            None => return Ok(crawl),
        }
    }
}

/// Fetches a page.
async fn fetch(handle: Handle<'_>, request: &Request) -> Result<Response, Error> {
    let socket = handle.connect(request.address).await?;
    socket.send_all(&request.bytes).await?;
    read_all(&socket).await
}

/// Reads to the end of the stream.
async fn read_all(socket: &Conn<'_>) -> Result<Response, Error> {
    let mut response = Response::default();
    loop {
        // The bytes are in a buffer of the loop, so that a task that waits needs none.
        let count = socket.recv_with(|bytes| response.add(bytes).map(|()| bytes.len())).await??;
        if count == 0 {
            return Ok(response);
        }
    }
}
