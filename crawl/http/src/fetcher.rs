//! Fetching of URLs, on connections that are used again.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use sinbin_core::task::Handle;
use url::Url;

use crate::body::Body;
use crate::connect::{Connect, Connection, NoBody, Origin};
use crate::error::FetchError;
use crate::pool::Pool;

/// The time limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// The time for resolving a name, connecting and the handshake of TLS.
    pub connect: Duration,
    /// The time until the head of the response, and between two pieces of the body.
    pub read: Duration,
    /// The time for a fetch as a whole.
    pub total: Duration,
}

/// A request, and what is of interest in its response.
pub struct Asked<'a> {
    /// The URL.
    pub url: &'a Url,
    /// True if the body is not asked for: the method is then HEAD.
    pub is_head: bool,
    /// The maximum number of bytes of the decoded body. The rest of a larger body is not read.
    pub max_bytes: usize,
    /// True if a body that is a gzip file is decompressed, in addition to its coding.
    pub unpacks: bool,
    /// Returns true if the body of a response with this status and these headers is of interest, however large it is.
    pub wants: &'a dyn Fn(u16, &HeaderMap) -> bool,
    /// Returns true if a connection to an address is permitted. Called for each address of the host's name.
    pub permits: &'a dyn Fn(IpAddr) -> bool,
}

/// A response whose body was read.
#[derive(Debug)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The decoded body. Empty if it was not of interest, and large.
    pub body: Vec<u8>,
    /// The number of bytes of the body as they were received, or as the server announced them if they were not read.
    pub received: u64,
    /// True if the body is longer than the limit.
    pub is_truncated: bool,
    /// The time from the request to the head of the response.
    pub first_byte: Duration,
}

/// A client for HTTP on a loop.
pub struct Fetcher<'d, C: Connect> {
    pub(crate) handle: Handle<'d>,
    limits: TimeLimits,
    connector: C,
    pool: RefCell<Pool<C::Connection>>,
    user_agent: HeaderValue,
}

impl<'d, C: Connect> Fetcher<'d, C> {
    /// Creates a client that keeps up to `max_idle` connections that are not in use.
    pub fn new(
        handle: Handle<'d>,
        limits: TimeLimits,
        connector: C,
        max_idle: usize,
        user_agent: HeaderValue,
    ) -> Self {
        Self { handle, limits, connector, pool: RefCell::new(Pool::new(max_idle)), user_agent }
    }

    /// Sends a request and reads the response.
    ///
    /// A connection that was used before, and that fails before the head of the response, may have been closed by the
    /// server in the meantime: the request is then sent once more, on a new connection.
    ///
    /// # Errors
    ///
    /// Fails with the reason why there is no response, or no complete one.
    pub async fn fetch(&self, asked: &Asked<'_>) -> Result<Fetched, FetchError> {
        let url = asked.url;
        let origin = Origin::of(url).ok_or_else(|| FetchError::Scheme(url.scheme().to_owned()))?;
        let limit = self.limits.total;
        let fetched = self.handle.timeout(limit, self.fetch_from(&origin, asked)).await;
        fetched.unwrap_or(Err(FetchError::Late { what: "complete response", limit }))
    }

    async fn fetch_from(&self, origin: &Origin, asked: &Asked<'_>) -> Result<Fetched, FetchError> {
        let idle = self.pool.borrow_mut().idle(origin, self.handle.now());
        let (pooled, first_byte, response) = match idle {
            None => self.send_anew(origin, asked).await?,
            Some(pooled) => match self.send(pooled, origin, asked).await {
                Err(error) if error.is_perhaps_stale() => self.send_anew(origin, asked).await?,
                sent => sent?,
            },
        };
        let (head, body) = response.into_parts();
        let body = Body {
            max_bytes: asked.max_bytes,
            is_wanted: (asked.wants)(head.status.as_u16(), &head.headers),
            read_timeout: self.limits.read,
        }
        .read(self.handle, &head.headers, body)
        .await?;
        if body.is_complete {
            self.pool.borrow_mut().release(origin, pooled, self.handle.now());
        }
        let body = if asked.unpacks { body.unpacked(asked.max_bytes)? } else { body };
        Ok(Fetched {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.bytes,
            received: body.received,
            is_truncated: body.is_truncated,
            first_byte,
        })
    }

    /// Sends a request on a new connection.
    async fn send_anew(
        &self,
        origin: &Origin,
        asked: &Asked<'_>,
    ) -> Result<(C::Connection, Duration, Response<Incoming>), FetchError> {
        let limit = self.limits.connect;
        let connected = self.handle.timeout(limit, self.connector.connect(origin, asked.permits)).await;
        let pooled = connected.unwrap_or(Err(FetchError::Late { what: "connection", limit }))?;
        if let Some(shared) = pooled.share() {
            self.pool.borrow_mut().share(origin, shared);
        }
        self.send(pooled, origin, asked).await
    }

    async fn send(
        &self,
        mut pooled: C::Connection,
        origin: &Origin,
        asked: &Asked<'_>,
    ) -> Result<(C::Connection, Duration, Response<Incoming>), FetchError> {
        let request = self.request(pooled.is_http2(), origin, asked)?;
        let limit = self.limits.read;
        let began = self.handle.now();
        match self.handle.timeout(limit, pooled.send(request)).await {
            Ok(Ok(response)) => Ok((pooled, self.handle.now().since(began), response)),
            Ok(Err(error)) => Err(FetchError::Http(error)),
            Err(_) => Err(FetchError::Late { what: "response", limit }),
        }
    }

    fn request(
        &self,
        is_http2: bool,
        origin: &Origin,
        asked: &Asked<'_>,
    ) -> Result<Request<NoBody>, FetchError> {
        let url = asked.url;
        let host = url.port().map_or_else(|| origin.host.clone(), |port| format!("{}:{port}", origin.host));
        let mut target = String::with_capacity(url.as_str().len());
        if is_http2 {
            target.extend([url.scheme(), "://", &host]);
        }
        target.push_str(url.path());
        if let Some(query) = url.query() {
            target.extend(["?", query]);
        }
        let mut request = Request::new(NoBody::new());
        *request.uri_mut() = Uri::try_from(target).map_err(|_| FetchError::Url)?;
        *request.method_mut() = if asked.is_head { Method::HEAD } else { Method::GET };
        if is_http2 {
            *request.version_mut() = Version::HTTP_2;
        } else {
            let host = HeaderValue::try_from(host).map_err(|_| FetchError::Url)?;
            request.headers_mut().insert(header::HOST, host);
        }
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br"));
        Ok(request)
    }
}
