//! The outcomes of requests, which a crawl learns from its caller.

use std::fmt;
use std::time::Duration;

/// The outcome of a request.
#[derive(Debug, Clone)]
pub enum Outcome<'a> {
    /// A response arrived, of any status.
    Response(Response<'a>),
    /// The request failed.
    Failed(Failure),
}

/// A response: its status, the headers that a crawl reads, and its body.
#[derive(Debug, Clone, Default)]
pub struct Response<'a> {
    /// The status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<&'a [u8]>,
    /// The header `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The header `Retry-After`.
    pub retry_after: Option<&'a [u8]>,
    /// The header `Date`, which a date in `Retry-After` is compared with, so that the crawl needs no clock.
    pub date: Option<&'a [u8]>,
    /// The header `X-Robots-Tag`.
    pub robots_tag: Option<&'a [u8]>,
    /// The body without its `Content-Encoding`, or as much of it as was read. A sitemap that is a gzip file is
    /// decompressed too.
    pub body: &'a [u8],
    /// True if the body is longer than [`Fetch::max_bytes`](crate::Fetch::max_bytes), and `body` is its beginning.
    pub truncated: bool,
    /// The number of bytes of the body that were received, before decompression.
    pub received: u64,
    /// The time from the request to the first byte of the response.
    pub first_byte: Duration,
    /// The time from the request to the end of the response.
    pub total: Duration,
}

/// A request that got no complete response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The class of the failure.
    pub kind: FailureKind,
    /// The message, which names the address and has the system's text.
    pub text: String,
}

impl Failure {
    /// Creates a failure.
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.is_empty() {
            true => f.write_str(self.kind.name()),
            false => f.write_str(&self.text),
        }
    }
}

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The name of the host has no address.
    Resolve,
    /// No connection was established.
    Connect,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
    /// A timeout expired.
    Timeout,
    /// The peer closed or reset the connection before a complete response.
    Reset,
    /// The body ended before its announced length.
    Truncated,
    /// The peer does not speak HTTP correctly, or exceeded a limit of the protocol.
    Protocol,
    /// The body does not have the format that its `Content-Encoding` names.
    Decode,
    /// [`Fetch::permits`](crate::Fetch::permits) allows none of the addresses.
    Forbidden,
    /// The caller's own host does not permit a connection to the URL's.
    NotPermitted,
    /// The response was received, and cannot be stored.
    Store,
    /// Any other failure.
    Other,
}

impl FailureKind {
    /// All classes.
    pub const ALL: [Self; 12] = [
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Truncated,
        Self::Protocol,
        Self::Decode,
        Self::Forbidden,
        Self::NotPermitted,
        Self::Store,
        Self::Other,
    ];

    /// Returns true if the request is sent again after such a failure, because the next attempt can succeed.
    pub fn is_retried(self) -> bool {
        matches!(self, Self::Resolve | Self::Connect | Self::Timeout | Self::Reset | Self::Truncated)
    }

    /// Returns a short description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "name not resolved",
            Self::Connect => "not connected",
            Self::Tls => "TLS failed",
            Self::Timeout => "timeout",
            Self::Reset => "connection broken",
            Self::Truncated => "body truncated",
            Self::Protocol => "protocol violated",
            Self::Decode => "body not decodable",
            Self::Forbidden => "private address",
            Self::NotPermitted => "connection not permitted",
            Self::Store => "not stored",
            Self::Other => "failed",
        }
    }
}
