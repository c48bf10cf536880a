//! The HTTP client of a web crawler: requests, bodies within limits, content codings, and connections that are used again.
//!
//! A [`Fetcher`] does what [`sinbin_crawl`] asks for. It runs as a part of tasks of `sinbin_core`, on connections that its
//! caller makes ([`Connect`]), so that a crawler in a sandbox and one outside of it share the client.

mod body;
mod connect;
mod decode;
mod error;
mod exchange;
mod fetcher;
mod pool;

pub use connect::{Connect, Connection, MAX_HEAD, NoBody, Origin, http1};
pub use error::FetchError;
pub use exchange::Exchange;
pub use fetcher::{Asked, Fetched, Fetcher, TimeLimits};
