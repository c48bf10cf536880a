//! The decisions of a web crawler, without sockets, clocks or threads.

#![forbid(unsafe_code)]

mod address;
mod content;
mod crawl;
mod fetch;
pub mod mirror;
mod outcome;
mod pattern;
mod report;
mod scope;
mod seed;
mod settings;
mod state;
mod summary;
mod target;

pub use address::is_private;
pub use crawl::{Crawl, Next};
pub use fetch::{Fetch, FetchId, Kind, Method};
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
