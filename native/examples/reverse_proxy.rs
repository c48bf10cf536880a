//! A reverse proxy: `reverse_proxy TARGET [ADDRESS]`, and with TLS `reverse_proxy --tls CERTIFICATE KEY TARGET [ADDRESS]`,
//! until Ctrl-C. Requests by HTTP/1.1 and HTTP/2 are forwarded to TARGET, an address such as `127.0.0.1:8080`, by
//! HTTP/1.1.
//!
//! Connections to the target are used again. Bodies pass through in pieces, so that their sizes do not matter.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use sinbin::hyper::{Io, Server};
use sinbin::task::{Conn, Handle};
use sinbin::tls::{Identity, TlsAcceptor};

#[path = "reverse_proxy/message.rs"]
mod message;

use message::{Page, remove_hop_by_hop, rewrite, text};

/// The time for a connection to the target, and for the head of its response.
const PATIENCE: Duration = Duration::from_secs(30);

/// The maximum number of idle connections to the target.
const MAX_IDLE: usize = 64;

struct Proxy<'d> {
    handle: Handle<'d>,
    target: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Proxy<'_> {
    /// Sends a request on an idle connection to the target, or on a new one.
    async fn send(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<(SendRequest<Incoming>, Response<Incoming>), Box<dyn std::error::Error>> {
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
        let conn = self.handle.connect(self.target).await?;
        let (mut sender, connection) = http1::handshake(Io::new(conn)).await?;
        self.handle.spawn(connection)?;
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
        let response = async {
            let (mut sender, response) = self.send(request).await?;
            // The connection is ready again when the response has been received.
            let proxy = Rc::clone(&self);
            self.handle.spawn(async move {
                if sender.ready().await.is_ok() && proxy.idle.borrow().len() < MAX_IDLE {
                    proxy.idle.borrow_mut().push(sender);
                }
            })?;
            Ok::<_, Box<dyn std::error::Error>>(response)
        };
        Ok(match self.handle.timeout(PATIENCE, response).await {
            Ok(Ok(mut response)) => {
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

/// Serves a client, after the handshake if there is an acceptor.
async fn serve<'d>(
    server: &Server<'d>,
    acceptor: Option<&TlsAcceptor>,
    proxy: &Rc<Proxy<'d>>,
    conn: Conn<'d>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (peer, proxy) = (conn.peer(), Rc::clone(proxy));
    let service = service_fn(move |request| Rc::clone(&proxy).forward(peer, request));
    match acceptor {
        None => server.serve(conn, service).await?,
        Some(acceptor) => server.serve(acceptor.accept(conn).await?, service).await?,
    }
    Ok(())
}

fn main() -> Result<(), sinbin::MainError> {
    const USAGE: &str = "usage: reverse_proxy [--tls CERTIFICATE KEY] TARGET [ADDRESS]";
    let mut arguments = std::env::args().skip(1).peekable();
    let mut acceptor = None;
    if arguments.next_if(|argument| argument == "--tls").is_some() {
        let certificate = arguments.next().ok_or(USAGE)?;
        let identity = Identity::from_pem_files(certificate, arguments.next().ok_or(USAGE)?)?;
        acceptor = Some(TlsAcceptor::builder(identity).alpn(["h2", "http/1.1"]).build()?);
    }
    let target = arguments.next().ok_or(USAGE)?.parse()?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8081".into());
    sinbin::run(async |handle| {
        let listener = handle.listen(&*address)?;
        println!("listening on {}", listener.address());
        #[cfg(unix)]
        handle.spawn(sinbin::signal::stop(handle))?;
        let server = Server::new(handle);
        let proxy = Rc::new(Proxy { handle, target, idle: RefCell::new(Vec::new()) });
        let serve = async move |conn| serve(&server, acceptor.as_ref(), &proxy, conn).await;
        handle.serve(listener, serve).await
    })??;
    Ok(())
}
