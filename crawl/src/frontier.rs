//! The frontier: the URLs to fetch, and fingerprints of all URLs that the crawl knows.

mod entry;
mod host;
mod queue;
mod schedule;
mod seen;

pub(crate) use entry::{Decoder, Encoder, Entry};
pub(crate) use host::RobotsFile;
pub(crate) use schedule::Schedule;
pub(crate) use seen::Seen;
