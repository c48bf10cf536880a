//! A server for HTTP/1.1 and HTTP/2.

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::{http1, http2};
use hyper::service::HttpService;
use sinbin_core::task::{Error, Handle};

use crate::byte_stream::ByteStream;
use crate::hyper::error::HttpError;
use crate::hyper::executor::Executor;
use crate::hyper::io::Io;
use crate::hyper::timer::Timer;

/// The first bytes of a client on a connection for HTTP/2: see [RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The time that a client has for the head of a request, and a connection between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The time that a client has to accept some bytes of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The time between two checks that the client of an HTTP/2 connection still answers, and the time for the answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves HTTP on connections with hyper: HTTP/2 if the peers agreed on it by ALPN, or if the client begins with its
/// preface (prior knowledge), and otherwise HTTP/1.1.
///
/// When the loop is to stop, requests in progress are answered, and clients are told to send no more: the connection of
/// an idle client is closed, and HTTP/2 clients receive GOAWAY.
///
/// A client has 30 s for the head of a request, which is also how long an idle HTTP/1.1 connection stays open, and a minute to
/// accept some bytes of a response; an HTTP/2 client that does not answer a PING within 20 s is disconnected. The limits of
/// hyper apply: 100 headers, 200 concurrent streams of HTTP/2, and so on. The time for the body of a request is the
/// service's to limit: by a [timeout](Handle::timeout) of what reads it.
#[derive(Clone, Debug)]
pub struct Server<'d> {
    handle: Handle<'d>,
    header_timeout: Duration,
    write_timeout: Option<Duration>,
    http1: http1::Builder,
    http2: http2::Builder<Executor<'d>>,
}

impl<'d> Server<'d> {
    /// Creates a server with the default limits.
    #[must_use]
    pub fn new(handle: Handle<'d>) -> Self {
        let mut http1 = http1::Builder::new();
        http1.header_read_timeout(HEADER_TIMEOUT);
        let mut http2 = http2::Builder::new(Executor::new(handle));
        http2.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
        let write_timeout = Some(WRITE_TIMEOUT);
        Self { handle, header_timeout: HEADER_TIMEOUT, write_timeout, http1, http2 }
    }

    /// Sets the time that a client has for the head of a request, from the end of the request before (30 s). For HTTP/2,
    /// this is the time for the first bytes.
    #[must_use]
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self.http1.header_read_timeout(limit);
        self
    }

    /// Sets the time that a client has to accept some bytes of a response, when it accepts none at once (1 min).
    #[must_use]
    pub const fn write_timeout(mut self, limit: Option<Duration>) -> Self {
        self.write_timeout = limit;
        self
    }

    /// Returns the builder of HTTP/1.1 connections, to configure it. Its timer is replaced.
    pub const fn http1(&mut self) -> &mut http1::Builder {
        &mut self.http1
    }

    /// Returns the builder of HTTP/2 connections, to configure it. Its timer is replaced.
    pub const fn http2(&mut self) -> &mut http2::Builder<Executor<'d>> {
        &mut self.http2
    }

    /// Serves a connection, until the client or the service ends it or the loop stops.
    ///
    /// # Errors
    ///
    /// Fails if the connection fails, or if the client violates the protocol.
    pub async fn serve<C, S, B>(&self, conn: C, service: S) -> Result<(), HttpError>
    where
        C: ByteStream<'d> + Unpin,
        S: HttpService<Incoming, ResBody = B>,
        S::Error: Into<Box<dyn StdError + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
        Executor<'d>: Http2ServerConnExec<S::Future, B>,
    {
        let alpn = conn.alpn();
        let (is_http2, prefix) = match alpn.as_deref() {
            Some(b"h2") => (true, Vec::new()),
            Some(b"http/1.1") => (false, Vec::new()),
            _ => match self.sniff(&conn).await {
                Err(HttpError::Connection(error)) if error.is_the_end() => return Ok(()),
                sniffed => sniffed?,
            },
        };
        let failed = Rc::default();
        let io = Io::with_prefix(conn, prefix, Rc::clone(&failed)).write_timeout(self.write_timeout);
        let timer = Timer::new();
        let served = if is_http2 {
            let connection = self.http2.clone().timer(timer.clone()).serve_connection(io, service);
            let mut connection = pin!(connection);
            let poll = |context: &mut Context<'_>, stops| {
                if stops {
                    connection.as_mut().graceful_shutdown();
                }
                connection.as_mut().poll(context)
            };
            self.run(&timer, poll).await
        } else {
            let connection = self.http1.clone().timer(timer.clone()).serve_connection(io, service);
            let mut connection = pin!(connection);
            let poll = |context: &mut Context<'_>, stops| {
                if stops {
                    connection.as_mut().graceful_shutdown();
                }
                connection.as_mut().poll(context)
            };
            self.run(&timer, poll).await
        };
        served.or_else(|error| ended(&failed, error))
    }

    /// Polls a connection. The flag that `poll` receives is true once, when the loop is to stop.
    async fn run(
        &self,
        timer: &Timer,
        mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<hyper::Result<()>>,
    ) -> hyper::Result<()> {
        let mut stopping = pin!(self.handle.stopping());
        let mut is_stopping = false;
        let connection = poll_fn(|context| {
            let stops = !is_stopping && stopping.as_mut().poll(context).is_ready();
            is_stopping |= stops;
            poll(context, stops)
        });
        timer.drive_own(self.handle, connection).await
    }

    /// Receives the first bytes of a connection, and returns true if they are the preface of HTTP/2.
    async fn sniff(&self, conn: &impl ByteStream<'d>) -> Result<(bool, Vec<u8>), HttpError> {
        let mut first = Vec::new();
        let receive = async {
            while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
                let limit = PREFACE.len() - first.len();
                let count = poll_fn(|context| {
                    conn.poll_recv_with(context, limit, |bytes| {
                        first.extend_from_slice(bytes);
                        bytes.len()
                    })
                });
                if count.await? == 0 {
                    break;
                }
            }
            Ok::<_, HttpError>(())
        };
        self.handle.timeout(self.header_timeout, receive).await.map_err(|_| HttpError::Late)??;
        Ok((first == PREFACE, first))
    }
}

/// Returns the error of a connection, unless the task was only to end.
fn ended(failed: &Cell<Option<Error>>, error: hyper::Error) -> Result<(), HttpError> {
    match failed.get() {
        Some(error) if error.is_the_end() => Ok(()),
        Some(error) => Err(HttpError::Connection(error)),
        None if error.is_timeout() => Err(HttpError::Late),
        None => Err(HttpError::Http(error)),
    }
}
