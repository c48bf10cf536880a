//! Requests that a crawl asks its caller for.

use std::fmt;
use std::net::IpAddr;

use sinbin_core::net::is_public;
use url::Url;

/// The number of a request. A crawl uses each number once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub(crate) u64);

impl fmt::Display for FetchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request to send. Its outcome is passed to [`Crawl::finished`](crate::Crawl::finished).
///
/// The caller sends exactly this request. In particular, it follows no redirect: it passes the response with the status
/// 3xx and its `Location`, and the crawl decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The number of the request.
    pub id: FetchId,
    /// The URL, without a fragment and without credentials.
    pub url: Url,
    /// The purpose of the request.
    pub kind: Kind,
    /// The method of the request.
    pub method: Method,
    /// The number of links between a seed and this URL.
    pub depth: u32,
    /// The page, redirect or sitemap that led to this URL. `None` for seeds and for robots.txt.
    pub referrer: Option<Url>,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The number of decoded bytes of the body after which the caller stops reading, and sets
    /// [`Response::truncated`](crate::Response::truncated).
    pub max_bytes: usize,
    /// True if the settings name the host and port of this URL, and the host is not known to be public.
    pub(crate) may_be_private: bool,
}

impl Fetch {
    /// Returns true if the caller may connect to `address` for this request.
    ///
    /// The caller asks for each address that the host's name resolves to, because a name of the public can resolve to a
    /// [private address](is_public). Such an address is allowed only if a seed or
    /// [`Settings::follow_hosts`](crate::Settings::follow_hosts) names the host, and if its first addresses, which
    /// [`Crawl::resolved`](crate::Crawl::resolved) has learned, were not all public. A request without a permitted address
    /// fails with [`FailureKind::Forbidden`](crate::FailureKind::Forbidden).
    pub fn permits(&self, address: IpAddr) -> bool {
        self.may_be_private || is_public(address)
    }
}

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A page or another file in scope.
    Page,
    /// The robots.txt of a host, or what it redirects to.
    Robots,
    /// A sitemap, or an index of sitemaps.
    Sitemap,
    /// A URL out of scope, which is checked and not followed.
    Check,
}

impl Kind {
    /// Returns true if the crawl reads bodies of this type. Otherwise the caller needs to keep nothing of the body, and
    /// passes an empty one with the number of bytes that were received.
    pub fn reads(self, content_type: Option<&[u8]>) -> bool {
        match self {
            Self::Page => crate::reading::Content::of(content_type).is_some(),
            Self::Robots | Self::Sitemap => true,
            Self::Check => false,
        }
    }

    /// Returns the name of the purpose, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Robots => "robots",
            Self::Sitemap => "sitemap",
            Self::Check => "check",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Asks for the body.
    Get,
    /// Asks for the status and the headers alone.
    Head,
}

impl Method {
    /// Returns the method as HTTP spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
