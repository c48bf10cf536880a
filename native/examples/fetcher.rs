//! Fetches URLs, up to eight at a time: `fetcher [--ca CERTIFICATES] URL…`. Prints the status and the size of each response.
//! Fails unless all are successes.
//!
//! With `https`, servers are verified by the certificates in the PEM file CERTIFICATES, or by those that the system trusts.
//! Connections are used again.

use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use sinbin::ByteStream;
use sinbin::group::JoinSet;
use sinbin::hyper::Io;
use sinbin::task::Handle;
use sinbin::tls::{Roots, TlsConnector};

#[path = "fetcher/origin.rs"]
mod origin;

use origin::{Idle, Origin, parse, report};

/// The maximum number of requests at a time.
const CONCURRENCY: usize = 8;

/// The time for a URL.
const PATIENCE: Duration = Duration::from_secs(30);

/// The maximum size of a response.
const MAX_SIZE: usize = 1 << 30;

type Sender = SendRequest<Empty<Bytes>>;

struct Client<'d> {
    handle: Handle<'d>,
    connector: TlsConnector,
    idle: Idle<Sender>,
}

impl<'d> Client<'d> {
    /// Fetches a URL. Returns the status and the size of the response.
    async fn fetch(&self, url: &str) -> Result<(StatusCode, usize), Box<dyn Error>> {
        let (origin, request) = parse(url)?;
        loop {
            let idle = self.idle.take(&origin);
            let is_new = idle.is_none();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.connect(&origin).await?,
            };
            match sender.send_request(request.clone()).await {
                Ok(response) => {
                    let fetched = (response.status(), size(response.into_body()).await?);
                    if sender.ready().await.is_ok() {
                        self.idle.keep(origin, sender);
                    }
                    return Ok(fetched);
                }
                // The server may have closed an idle connection in the meantime.
                Err(_) if !is_new => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn connect(&self, origin: &Origin) -> Result<Sender, Box<dyn Error>> {
        let conn = self.handle.connect(&*origin.address).await?;
        if origin.has_tls {
            self.start(self.connector.connect(conn, &origin.host).await?).await
        } else {
            self.start(conn).await
        }
    }

    /// Begins to speak HTTP on a connection.
    async fn start(&self, conn: impl ByteStream<'d> + Unpin + 'd) -> Result<Sender, Box<dyn Error>> {
        let (sender, connection) = handshake(Io::new(conn)).await?;
        self.handle.spawn(connection)?;
        Ok(sender)
    }
}

/// Receives a body, and returns its size.
async fn size(mut body: Incoming) -> Result<usize, Box<dyn Error>> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame?.data_ref().map_or(0, Bytes::len);
        if size > MAX_SIZE {
            return Err("the response is too large".into());
        }
    }
    Ok(size)
}

/// Fetches all URLs. Returns true if all responses are successes.
async fn fetch_all(
    handle: Handle<'_>,
    urls: impl Iterator<Item = String>,
    connector: TlsConnector,
) -> Result<bool, Box<dyn Error>> {
    let client = Rc::new(Client { handle, connector, idle: Idle::new() });
    let (fetches, mut all) = (JoinSet::new(handle), true);
    for url in urls {
        if fetches.len() == CONCURRENCY
            && let Some((_, fetched)) = fetches.join_next().await?
        {
            all &= fetched?;
        }
        let client = Rc::clone(&client);
        fetches.spawn(async move {
            let fetched = handle.timeout(PATIENCE, client.fetch(&url)).await;
            report(&url, fetched.unwrap_or_else(|elapsed| Err(elapsed.into())))
        })?;
    }
    while let Some((_, fetched)) = fetches.join_next().await? {
        all &= fetched?;
    }
    Ok(all)
}

fn main() -> Result<ExitCode, sinbin::MainError> {
    const USAGE: &str = "usage: fetcher [--ca CERTIFICATES] URL…";
    let mut arguments = std::env::args().skip(1).peekable();
    let roots = match arguments.next_if(|argument| argument == "--ca") {
        Some(_) => Roots::from_pem_file(arguments.next().ok_or(USAGE)?)?,
        None => Roots::system()?,
    };
    arguments.peek().ok_or(USAGE)?;
    let connector = TlsConnector::new(roots)?;
    let all = sinbin::run(async |handle| fetch_all(handle, arguments, connector).await)??;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
