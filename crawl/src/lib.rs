//! The decisions of a web crawler, without sockets, clocks or threads.
//!
//! A [`Crawl`] knows which URLs to fetch next and when: it keeps the frontier, reads robots.txt, pages, style sheets and
//! sitemaps, follows links and redirects within its scope, spreads the requests over hosts, repeats what failed, and
//! counts. It sends nothing. The caller sends each [`Fetch`], by any client, and passes its [`Outcome`] back. So one crawler
//! runs on a native loop, in a sandbox, and in a test that has no network:
//!
//! ```
//! use std::time::Duration;
//!
//! use sinbin_crawl::{Crawl, Next, Outcome, Response, Settings, parse_seed};
//!
//! /// Answers a request without any network.
//! fn respond(path: &str) -> Response<'static> {
//!     let (status, body) = match path {
//!         "/robots.txt" => (200, "User-agent: *\nDisallow: /private/"),
//!         "/" => (200, "<title>Home</title><a href=a.html>a</a><a href=/private/>p</a><a href=//b.example/>b</a>"),
//!         "/a.html" => (200, "<base href=/><a href=''>home</a><img src=gone.png>"),
//!         _ => (404, ""),
//!     };
//!     let content_type = Some(if path == "/robots.txt" { &b"text/plain"[..] } else { b"text/html" });
//!     Response { status, content_type, body: body.as_bytes(), ..Response::default() }
//! }
//!
//! let mut crawl = Crawl::new(Settings::new([parse_seed("a.example")?]));
//! let now = Duration::ZERO;
//! let mut lines = Vec::new();
//! loop {
//!     let report = match crawl.next(now) {
//!         Next::Fetch(fetch) => crawl.finished(fetch.id, Outcome::Response(respond(fetch.url.path())), now),
//!         Next::Report(report) => Some(report),
//!         // Nothing fails here, and no delay is set.
//!         Next::Wait(_) => unreachable!(),
//!         Next::Done => break,
//!     };
//!     let report = report.expect("no request is repeated");
//!     let told = report.error.map_or_else(|| report.status.unwrap_or(0).to_string(), |error| error.to_string());
//!     lines.push(format!("{} {told}", report.url.path()));
//! }
//! assert_eq!(lines, ["/robots.txt 200", "/ 200", "/a.html 200", "/private/ robots.txt forbids it", "/gone.png 404"]);
//! assert_eq!(crawl.summary().skipped.external, 1);
//! # Ok::<(), sinbin_crawl::SeedError>(())
//! ```
//!
//! # What a crawl promises
//!
//! - A URL is fetched once, however many pages link to it, and also if the crawl is [saved](Crawl::save) and
//!   [continued](Crawl::load). URLs that differ only in their fragment are one. Requests are repeated only after failures of the
//!   connection, and the statuses 429 and 503.
//! - Only http and https are fetched, only from the hosts of the seeds and those that the settings name, and never from
//!   [private addresses](sinbin_core::net::is_public) that a page names. User names and passwords of links are removed, and appear in no
//!   report.
//! - Redirects are decisions of the crawl. They have to stay in scope as links have.
//! - No host gets more requests at once, or sooner after each other, than the settings and its robots.txt allow. Hosts
//!   are served in turn, and the pages of each in the order in which they were found.
//! - Memory is bounded by the [`Settings`], whatever the servers send: a known URL needs some 20 bytes, and one that waits to
//!   be fetched some 20 more.
//! - Equal settings, times and outcomes give equal requests and reports.

#![forbid(unsafe_code)]

mod crawl;
mod fetch;
mod frontier;
#[cfg(feature = "json")]
mod json;
pub mod mirror;
mod outcome;
mod pattern;
mod reading;
mod report;
mod retry;
mod scope;
mod seed;
mod settings;
mod state;
mod summary;
mod target;

pub use crawl::{Crawl, Next};
pub use fetch::{Fetch, FetchId, Kind, Method};
#[cfg(feature = "json")]
pub use json::json;
pub use outcome::{Failure, FailureKind, Outcome, Response};
pub use pattern::{Pattern, PatternError};
pub use report::{Error, Links, Report};
pub use scope::{HostPattern, HostPatternError};
pub use seed::{SeedError, parse_seed};
pub use settings::Settings;
pub use state::LoadError;
pub use summary::{Progress, Skipped, Summary};
pub use url;
pub use url::Url;
