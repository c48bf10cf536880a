//! The requirements of a client on its connections.

use std::net::IpAddr;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::Builder;
use hyper::{Request, Response};
use url::Url;

use crate::error::FetchError;

/// The body of a request: none.
pub type NoBody = Empty<Bytes>;

/// The maximum number of bytes of the head of a response.
pub const MAX_HEAD: usize = 64 << 10;

/// The scheme, host and port of a URL, which a connection serves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// True for https.
    pub is_https: bool,
    /// The host as a URL has it: an IPv6 address is in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// Returns the origin of a URL, or `None` if the URL is neither of http nor of https.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let is_https = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some(Self { is_https, host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }
}

/// Makes connections.
pub trait Connect {
    /// The type of the connections.
    type Connection: Connection;

    /// Connects to `origin` at an address that `permits` accepts, and performs the handshakes.
    fn connect(
        &self,
        origin: &Origin,
        permits: &dyn Fn(IpAddr) -> bool,
    ) -> impl Future<Output = Result<Self::Connection, FetchError>>;
}

/// A connection that accepts requests.
pub trait Connection: Sized {
    /// Returns true if the requests are of HTTP/2.
    fn is_http2(&self) -> bool {
        false
    }

    /// Returns the connection once more, if it carries any number of requests at a time.
    fn share(&self) -> Option<Self> {
        None
    }

    /// Returns true if the connection accepts no further request.
    fn is_closed(&self) -> bool;

    /// Sends a request, and waits for the head of the response.
    fn send(&mut self, request: Request<NoBody>) -> impl Future<Output = hyper::Result<Response<Incoming>>>;
}

/// Returns the settings of HTTP/1.1 connections.
pub fn http1() -> Builder {
    let mut builder = Builder::new();
    // Pages of old servers are still pages.
    builder
        .max_buf_size(MAX_HEAD)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    builder
}
