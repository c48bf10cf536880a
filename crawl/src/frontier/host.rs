//! A host and port, and what is to be fetched there.

use std::collections::VecDeque;
use std::time::Duration;

use super::entry::Entry;
use super::queue::Queue;
use crate::reading::Robots;
use crate::report::Error;

/// The number of entries that wait for another attempt, with which a host gets no further ones.
const MAX_RETRIES: usize = 64;

/// A scheme, host and port.
#[derive(Debug)]
pub(crate) struct Host {
    /// The URL of the host, without a path.
    pub origin: String,
    /// The entries that come before those of the queue: targets of redirects, and what was taken from the queue too early.
    pub front: VecDeque<Entry>,
    pub queue: Queue,
    /// The entries that wait for another attempt, and when it is due.
    pub retries: Vec<(Duration, Entry)>,
    pub robots: RobotsFile,
    /// The number of requests in flight.
    pub in_flight: usize,
    /// The time before which no request is sent.
    pub not_before: Duration,
    pub waiting: Waiting,
}

/// The robots.txt of a host.
#[derive(Debug)]
pub(crate) enum RobotsFile {
    /// To be fetched before any page.
    Unknown,
    /// A request for it is in flight.
    Pending,
    /// To be fetched (again) with this entry, at that time.
    Due(Duration, Box<Entry>),
    Known(Robots),
    /// Not fetched, so that nothing is allowed: the error of every URL.
    Unreachable(Error),
}

/// The event or time that a host waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// New entries, or the end of a request.
    Event,
    /// The host is in the list of those that are ready.
    Turn,
    Time(Duration),
    /// The level of its next entry.
    Level(u32),
}

impl RobotsFile {
    /// Returns the memory of the rules, in bytes.
    pub fn bytes(&self) -> usize {
        if let Self::Known(robots) = self { robots.bytes } else { 0 }
    }
}

impl Host {
    pub fn new(origin: String) -> Self {
        Self {
            origin,
            front: VecDeque::new(),
            queue: Queue::default(),
            retries: Vec::new(),
            robots: RobotsFile::Unknown,
            in_flight: 0,
            not_before: Duration::ZERO,
            waiting: Waiting::Event,
        }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.front.len() + self.queue.len() + self.retries.len()
    }

    /// Returns true if the next entry can be one without attempts yet.
    pub fn accepts_new(&self) -> bool {
        self.retries.len() < MAX_RETRIES
    }

    /// Returns the earliest time of another attempt.
    pub fn next_retry(&self) -> Option<Duration> {
        self.retries.iter().map(|(due, _)| *due).min()
    }

    /// Removes the entry whose next attempt is due first, if it is due.
    pub fn pop_retry(&mut self, now: Duration) -> Option<Entry> {
        let first = (0..self.retries.len()).min_by_key(|&at| self.retries[at].0)?;
        // The order of those that are due at once is that in which they failed.
        (self.retries[first].0 <= now).then(|| self.retries.remove(first).1)
    }

    /// Returns all entries, in the order in which they are fetched if no time passes.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let retries = self.retries.iter().map(|(_, entry)| entry.clone());
        retries.chain(self.front.iter().cloned()).chain(self.queue.iter())
    }

    /// Returns the entries of which a request was sent before.
    pub fn attempted(&self) -> impl Iterator<Item = &Entry> {
        self.retries.iter().map(|(_, entry)| entry).chain(&self.front).filter(|entry| entry.attempts > 0)
    }
}
