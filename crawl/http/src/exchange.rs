//! The requests of a crawl, and their outcomes.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderName};
use sinbin_crawl::{Failure, Fetch, Kind, Method, Outcome, Response};

use crate::connect::Connect;
use crate::error::FetchError;
use crate::fetcher::{Asked, Fetched, Fetcher};

const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// A request of a crawl that was sent.
#[derive(Debug)]
pub struct Exchange {
    /// The response, or the reason why there is none.
    pub result: Result<Fetched, FetchError>,
    /// The addresses of the host that were considered for a new connection.
    pub addresses: Vec<IpAddr>,
    /// The time from the request to the end of the response.
    pub total: Duration,
}

impl<C: Connect> Fetcher<'_, C> {
    /// Sends a request of a crawl. The body of a response is read if the crawl reads it, or if `is_kept` returns true for
    /// the status.
    pub async fn exchange(&self, fetch: &Fetch, is_kept: impl Fn(u16) -> bool) -> Exchange {
        let began = self.handle.now();
        let wants = |status, headers: &HeaderMap| {
            fetch.kind.reads(value(headers, &header::CONTENT_TYPE)) || is_kept(status)
        };
        let addresses = RefCell::new(Vec::new());
        let permits = |address: IpAddr| {
            addresses.borrow_mut().push(address);
            fetch.permits(address)
        };
        let asked = Asked {
            url: &fetch.url,
            is_head: fetch.method == Method::Head,
            max_bytes: fetch.max_bytes,
            unpacks: fetch.kind == Kind::Sitemap,
            wants: &wants,
            permits: &permits,
        };
        let result = self.fetch(&asked).await;
        Exchange { result, addresses: addresses.take(), total: self.handle.now().since(began) }
    }
}

impl Exchange {
    /// Returns the outcome for the crawl.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'_> {
        match &self.result {
            Ok(fetched) => Outcome::Response(fetched.response(self.total)),
            Err(error) => Outcome::Failed(Failure::new(error.kind(), error.to_string())),
        }
    }
}

impl Fetched {
    /// Returns the media type of the body, as the server states it.
    #[must_use]
    pub fn content_type(&self) -> Option<&[u8]> {
        value(&self.headers, &header::CONTENT_TYPE)
    }

    /// Returns what a crawl reads of the response.
    fn response(&self, total: Duration) -> Response<'_> {
        let headers = &self.headers;
        Response {
            status: self.status,
            location: value(headers, &header::LOCATION),
            content_type: self.content_type(),
            retry_after: value(headers, &header::RETRY_AFTER),
            date: value(headers, &header::DATE),
            robots_tag: value(headers, &ROBOTS_TAG),
            body: &self.body,
            truncated: self.is_truncated,
            received: self.received,
            first_byte: self.first_byte,
            total,
        }
    }
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(|value| value.as_bytes())
}
