//! The crawl: what to fetch next, and what follows from a response.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::fetch::{Fetch, FetchId};
use crate::outcome::Outcome;
use crate::report::Report;
use crate::settings::Settings;
use crate::state::LoadError;
use crate::summary::{Progress, Summary};

/// The next thing to do for a crawl.
#[derive(Debug)]
pub enum Next {
    /// Send this request, and pass its outcome to [`Crawl::finished`].
    Fetch(Fetch),
    /// A URL that is not fetched: print its report, and ask again.
    Report(Report),
    /// Wait until a request finishes or, if a time is given, until that time of the caller's clock.
    Wait(Option<Duration>),
    /// The crawl has ended: no request is in flight, and none is left.
    Done,
}

/// A crawl, as a state machine: the caller sends requests, and the crawl decides which.
#[derive(Debug)]
pub struct Crawl {
    settings: Settings,
    summary: Summary,
}

impl Crawl {
    /// Creates a crawl that begins with the seeds of `settings`.
    pub fn new(settings: Settings) -> Self {
        Self { settings, summary: Summary::default() }
    }

    /// Returns what to do next. `now` is the time since any fixed moment.
    pub fn next(&mut self, now: Duration) -> Next {
        let _ = (now, &self.settings);
        Next::Done
    }

    /// Learns the outcome of a request. Returns the report of its URL, or `None` if the request is repeated later, or
    /// `id` is not in flight.
    pub fn finished(&mut self, id: FetchId, outcome: Outcome<'_>, now: Duration) -> Option<Report> {
        let _ = (id, outcome, now);
        None
    }

    /// Queues a request again that the caller stopped. The attempt does not count.
    pub fn abandon(&mut self, id: FetchId) {
        let _ = id;
    }

    /// Returns the present state.
    pub fn progress(&self) -> Progress {
        Progress::default()
    }

    /// Returns the counters.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Writes the state, from which [`load`](Self::load) continues. Requests in flight are saved as queued.
    ///
    /// # Errors
    ///
    /// Returns the error of `to`.
    pub fn save(&self, to: impl Write) -> io::Result<()> {
        let mut to = to;
        to.write_all(b"")
    }

    /// Creates a crawl that continues from a saved state, with new settings.
    ///
    /// # Errors
    ///
    /// Fails with a [`LoadError`] if the state cannot be read, or is invalid.
    pub fn load(settings: Settings, from: impl Read) -> Result<Self, LoadError> {
        let _ = from;
        Ok(Self::new(settings))
    }
}
