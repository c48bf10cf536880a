//! The fetcher of URLs: `fetcher [--ca CERTIFICATES] URL…`.

use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::MainError;
use crate::pem::client_config;

#[path = "../../../../native/examples/fetcher/origin.rs"]
mod origin;

use origin::{Idle, Origin, parse, report};

/// The maximum number of requests at a time.
const CONCURRENCY: usize = 8;

/// The time for a URL.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The maximum size of a response.
const MAX_SIZE: usize = 1 << 30;

type Sender = SendRequest<Empty<Bytes>>;

struct Client {
    connector: TlsConnector,
    idle: Idle<Sender>,
}

impl Client {
    /// Fetches a URL. Returns the status and the size of the response.
    async fn fetch(&self, url: &str) -> Result<(StatusCode, usize), MainError> {
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

    async fn connect(&self, origin: &Origin) -> Result<Sender, MainError> {
        let stream = TcpStream::connect(&*origin.address).await?;
        stream.set_nodelay(true)?;
        if origin.has_tls {
            let name = ServerName::try_from(origin.host.clone())?;
            start(timeout(HANDSHAKE, self.connector.connect(name, stream)).await??).await
        } else {
            start(stream).await
        }
    }
}

/// Begins to speak HTTP on a connection.
async fn start(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Result<Sender, MainError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    spawn_local(connection);
    Ok(sender)
}

/// Receives a body, and returns its size.
async fn size(mut body: Incoming) -> Result<usize, MainError> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame?.data_ref().map_or(0, Bytes::len);
        if size > MAX_SIZE {
            return Err("the response is too large".into());
        }
    }
    Ok(size)
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let (ca, urls) = match arguments {
        [flag, file, urls @ ..] if flag == "--ca" => (Some(&**file), urls),
        urls => (None, urls),
    };
    let client = Rc::new(Client { connector: client_config(ca)?.into(), idle: Idle::new() });
    let (mut fetches, mut all) = (JoinSet::new(), true);
    for url in urls {
        if fetches.len() == CONCURRENCY
            && let Some(fetched) = fetches.join_next().await
        {
            all &= fetched?;
        }
        let (client, url) = (Rc::clone(&client), url.clone());
        fetches.spawn_local(async move {
            let fetched = timeout(PATIENCE, client.fetch(&url)).await;
            report(&url, fetched.unwrap_or_else(|elapsed| Err(elapsed.into())))
        });
    }
    while let Some(fetched) = fetches.join_next().await {
        all &= fetched?;
    }
    if all { Ok(()) } else { Err("not all URLs were fetched".into()) }
}
