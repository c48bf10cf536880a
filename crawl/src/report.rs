//! Reports: one for each URL of a crawl.

use std::time::Duration;

use url::Url;

use crate::fetch::Kind;
use crate::outcome::{Failure, FailureKind};

/// The end of a URL: it was fetched, or will not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The URL.
    pub url: Url,
    /// The purpose of the request.
    pub kind: Kind,
    /// The number of links between a seed and this URL.
    pub depth: u32,
    /// The page, redirect or sitemap that led to this URL first.
    pub referrer: Option<Url>,
    /// The number of requests that were sent.
    pub attempts: u32,
    /// The status of the last response.
    pub status: Option<u16>,
    /// The content type of the response. Bytes other than printable ASCII are left out.
    pub content_type: Option<String>,
    /// The title of the page, at most 300 bytes of it, without line breaks and control characters.
    pub title: Option<String>,
    /// The number of bytes of the body that were received.
    pub bytes: u64,
    /// True if the body is longer than the limit, and only its beginning was read.
    pub truncated: bool,
    /// The time to the first byte of the response.
    pub first_byte: Duration,
    /// The time to the end of the response.
    pub total: Duration,
    /// The links of the page.
    pub links: Links,
    /// The URL to which the response redirects.
    pub redirect: Option<Url>,
    /// The reason why the URL was not fetched, or why its redirect is not followed.
    pub error: Option<Error>,
}

impl Report {
    /// Returns true if a link to this URL is broken: there is no response, its status is 400 or more, or it redirects
    /// to nowhere. A URL that may not be fetched, or is out of scope, is not broken. No link leads to a robots.txt or a
    /// sitemap.
    pub fn is_broken(&self) -> bool {
        matches!(self.kind, Kind::Page | Kind::Check)
            && (self.status.is_some_and(|status| status >= 400)
                || self.error.as_ref().is_some_and(Error::is_broken))
    }
}

/// The links of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The number of links with http or https.
    pub found: u32,
    /// The number of URLs among them that the crawl did not know, and queued.
    pub new: u32,
    /// The URLs in their order, if [`Settings::list_links`](crate::Settings::list_links) asks for them.
    pub listed: Vec<Url>,
}

/// The reason why a URL was not fetched, or why its redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request failed, after all attempts.
    #[error("{0}")]
    Failed(Failure),
    /// The robots.txt of the host forbids the URL.
    #[error("robots.txt forbids it")]
    Robots,
    /// The server has no answer to the request for robots.txt, which forbids every URL (RFC 9309, 2.3.1.4). If the
    /// connection fails, the error is [`Failed`](Self::Failed).
    #[error("robots.txt cannot be read, so no page may be: {0}")]
    RobotsUnreachable(String),
    /// The URL names a private address that no setting names.
    #[error("{0} is a private address that no start URL names")]
    Private(String),
    /// The redirect leads to a URL that led to it.
    #[error("redirect loop")]
    RedirectLoop,
    /// There are more redirects in a row than [`Settings::max_redirects`](crate::Settings::max_redirects).
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// The redirect leads to a scheme other than http and https.
    #[error("redirect to the scheme {0}:")]
    RedirectScheme(String),
    /// The redirect leads to a private address that no setting names.
    #[error("redirect to {0}, a private address that no start URL names")]
    RedirectPrivate(String),
    /// The redirect leads to a URL out of scope.
    #[error("redirect out of scope")]
    RedirectOutOfScope,
    /// The redirect has no `Location`, or an invalid one.
    #[error("redirect without a valid location")]
    RedirectInvalid,
    /// The sitemap is not XML of the expected form. The URLs before the fault are used.
    #[error("invalid sitemap: {0}")]
    Sitemap(String),
}

impl Error {
    /// Returns true if a link to such a URL is broken.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Failed(failure) => {
                !matches!(failure.kind, FailureKind::Forbidden | FailureKind::NotPermitted)
            }
            Self::RedirectLoop
            | Self::TooManyRedirects(_)
            | Self::RedirectScheme(_)
            | Self::RedirectInvalid => true,
            Self::Robots
            | Self::RobotsUnreachable(_)
            | Self::Private(_)
            | Self::RedirectPrivate(_)
            | Self::RedirectOutOfScope
            | Self::Sitemap(_) => false,
        }
    }

    /// Returns a short name of the reason, which the [`Summary`](crate::Summary) counts by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Failed(failure) => failure.kind.name(),
            Self::Robots => "forbidden by robots.txt",
            Self::RobotsUnreachable(_) => "robots.txt not readable",
            Self::Private(_) | Self::RedirectPrivate(_) => "private address",
            Self::RedirectLoop => "redirect loop",
            Self::TooManyRedirects(_) => "too many redirects",
            Self::RedirectScheme(_) => "redirect to another scheme",
            Self::RedirectOutOfScope => "redirect out of scope",
            Self::RedirectInvalid => "invalid redirect",
            Self::Sitemap(_) => "invalid sitemap",
        }
    }
}
