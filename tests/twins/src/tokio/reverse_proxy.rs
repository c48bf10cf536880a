//! The reverse proxy: `reverse-proxy [--tls CERTIFICATE KEY] TARGET [ADDRESS]`, by HTTP/1.1 and HTTP/2.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Executor, Read, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::accept;
use crate::pem::server_config;
use crate::{MainError, argument};

#[path = "../../../../native/examples/reverse_proxy/message.rs"]
mod message;

use message::{Page, remove_hop_by_hop, rewrite, text};

/// The time for a connection to the target, and for the head of its response.
const PATIENCE: Duration = Duration::from_secs(30);

/// The maximum number of idle connections to the target.
const MAX_IDLE: usize = 64;

struct Proxy {
    target: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Proxy {
    /// Sends a request on an idle connection to the target, or on a new one.
    async fn send(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<(SendRequest<Incoming>, Response<Incoming>), MainError> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut sender) = idle else { break };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                // The target has closed the connection in the meantime: nothing of the request was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        let response = sender.send_request(request).await?;
        Ok((sender, response))
    }

    async fn forward(
        self: Rc<Self>,
        peer: Option<SocketAddr>,
        request: Request<Incoming>,
    ) -> Result<Response<Page>, Infallible> {
        if request.method() == Method::CONNECT {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED));
        }
        let Some(request) = rewrite(peer, request) else { return Ok(text(StatusCode::BAD_REQUEST)) };
        Ok(match timeout(PATIENCE, self.send(request)).await {
            Ok(Ok((mut sender, mut response))) => {
                // The connection is ready again when the response has been received.
                let proxy = Rc::clone(&self);
                spawn_local(async move {
                    if sender.ready().await.is_ok() && proxy.idle.borrow().len() < MAX_IDLE {
                        proxy.idle.borrow_mut().push(sender);
                    }
                });
                remove_hop_by_hop(response.headers_mut());
                response.map(Either::Left)
            }
            Ok(Err(error)) => {
                eprintln!("{}: {error}", self.target);
                text(StatusCode::BAD_GATEWAY)
            }
            Err(_) => text(StatusCode::GATEWAY_TIMEOUT),
        })
    }
}

/// Spawns tasks that stay on their thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

async fn serve(
    stream: impl Read + Write + Unpin + 'static,
    peer: Option<SocketAddr>,
    proxy: Rc<Proxy>,
) -> Result<(), String> {
    let service = service_fn(move |request| Rc::clone(&proxy).forward(peer, request));
    let mut builder = auto::Builder::new(LocalExecutor);
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    builder.serve_connection(stream, service).await.map_err(|error| error.to_string())
}

pub(super) async fn main(arguments: &[String]) -> Result<(), MainError> {
    let (acceptor, arguments) = match arguments {
        [flag, certificate, key, rest @ ..] if flag == "--tls" => {
            let mut config = server_config(certificate, key)?;
            if let Some(config) = Arc::get_mut(&mut config) {
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            }
            (Some(TlsAcceptor::from(config)), rest)
        }
        rest => (None, rest),
    };
    let target = argument(arguments, 0, "TARGET")?.parse()?;
    let proxy = Rc::new(Proxy { target, idle: RefCell::default() });
    let listener = accept::listen(arguments.get(1).map_or("127.0.0.1:8081", String::as_str)).await?;
    let connection = |client: TcpStream| {
        let (acceptor, proxy) = (acceptor.clone(), Rc::clone(&proxy));
        async move {
            let peer = client.peer_addr().ok();
            match acceptor {
                None => serve(TokioIo::new(client), peer, proxy).await,
                Some(acceptor) => {
                    let handshake = timeout(PATIENCE, acceptor.accept(client)).await;
                    let client = handshake.map_err(|_| "the handshake takes too long".to_owned())?;
                    let client = client.map_err(|error| error.to_string())?;
                    serve(TokioIo::new(client), peer, proxy).await
                }
            }
        }
    };
    Ok(accept::serve(listener, connection).await?)
}
