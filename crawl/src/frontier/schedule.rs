//! The order of requests: which host is next, and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use url::{Position, Url};

use super::entry::Entry;
use super::host::{Host, RobotsFile, Waiting};

/// The number of entries before the queue of a host, after which redirects to it are queued.
const MAX_FRONT: usize = 1024;

/// The hosts of a crawl, and the order in which they are served: in turn, each no earlier than its delays allow.
#[derive(Debug)]
pub(crate) struct Schedule {
    hosts: Vec<Host>,
    by_origin: HashMap<String, usize>,
    max_hosts: usize,
    per_host: usize,
    /// The hosts that wait for their turn. A host is skipped that does not wait for it any more.
    ready: VecDeque<usize>,
    /// The hosts that wait for a time, with the same rule.
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The hosts that wait for a level, with the same rule.
    later: Vec<usize>,
    /// The depth of the pages that are fetched at present, if levels are separated.
    level: Option<u32>,
    /// True if entries without attempts are fetched.
    takes_new: bool,
    now: Duration,
    queued: usize,
    queue_bytes: usize,
}

impl Schedule {
    pub fn new(max_hosts: usize, per_host: usize, has_levels: bool) -> Self {
        Self {
            hosts: Vec::new(),
            by_origin: HashMap::new(),
            max_hosts,
            per_host: per_host.max(1),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            later: Vec::new(),
            level: has_levels.then_some(0),
            takes_new: true,
            now: Duration::ZERO,
            queued: 0,
            queue_bytes: 0,
        }
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Returns a host. The caller calls [`settle`](Self::settle) after a change.
    pub fn host(&mut self, at: usize) -> &mut Host {
        &mut self.hosts[at]
    }

    /// Returns the number of entries that wait for their request.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Returns the memory of the queues, in bytes.
    pub fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Learns the time. Earlier times than before are ignored.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the host of `url`, or `None` if it is new and there are too many hosts.
    pub fn host_of(&mut self, url: &Url) -> Option<usize> {
        let origin = &url[..Position::BeforePath];
        if let Some(&at) = self.by_origin.get(origin) {
            return Some(at);
        }
        let at = self.hosts.len();
        if at >= self.max_hosts {
            return None;
        }
        self.hosts.push(Host::new(origin.to_owned()));
        self.by_origin.insert(origin.to_owned(), at);
        Some(at)
    }

    /// Queues an entry after all others.
    pub fn push_back(&mut self, at: usize, entry: &Entry) {
        self.queue_bytes += self.hosts[at].queue.push(entry);
        self.queued += 1;
        self.settle(at);
    }

    /// Queues an entry before all others.
    pub fn push_front(&mut self, at: usize, entry: Entry) {
        if self.hosts[at].front.len() >= MAX_FRONT {
            return self.push_back(at, &entry);
        }
        self.hosts[at].front.push_front(entry);
        self.queued += 1;
        self.settle(at);
    }

    /// Queues an entry for another attempt at a time.
    pub fn push_retry(&mut self, at: usize, due: Duration, entry: Entry) {
        self.hosts[at].retries.push((due, entry));
        self.queued += 1;
        self.settle(at);
    }

    /// Removes the next entry of a host: another attempt that is due, or the first of its queue.
    pub fn pop(&mut self, at: usize) -> Option<Entry> {
        let entry = self.hosts[at].pop_retry(self.now).or_else(|| self.pop_new(at))?;
        self.queued -= 1;
        Some(entry)
    }

    fn pop_new(&mut self, at: usize) -> Option<Entry> {
        self.has_new(at).ok().filter(|&has_new| has_new)?;
        self.hosts[at].front.pop_front().or_else(|| self.pop_queue(at))
    }

    fn pop_queue(&mut self, at: usize) -> Option<Entry> {
        let (entry, released) = self.hosts[at].queue.pop()?;
        self.queue_bytes -= released;
        Some(entry)
    }

    /// Returns true if the host has an entry without attempts that may be fetched now. Fails with the depth of the entry
    /// if it belongs to a later level.
    fn has_new(&mut self, at: usize) -> Result<bool, u32> {
        if !self.takes_new || !self.hosts[at].accepts_new() {
            return Ok(false);
        }
        let Some(level) = self.level else {
            return Ok(!self.hosts[at].front.is_empty() || !self.hosts[at].queue.is_empty());
        };
        if self.hosts[at].front.is_empty() {
            let entry = self.pop_queue(at);
            self.hosts[at].front.extend(entry);
        }
        match self.hosts[at].front.front() {
            Some(entry) if entry.depth > level => Err(entry.depth),
            first => Ok(first.is_some()),
        }
    }

    /// Decides what a host waits for, after any change of it.
    pub fn settle(&mut self, at: usize) {
        let waiting = self.waiting(at);
        if self.hosts[at].waiting == waiting {
            return;
        }
        self.hosts[at].waiting = waiting;
        match waiting {
            Waiting::Event => {}
            Waiting::Turn => self.ready.push_back(at),
            Waiting::Time(time) => self.timers.push(Reverse((time, at))),
            Waiting::Level(_) => self.later.push(at),
        }
    }

    fn waiting(&mut self, at: usize) -> Waiting {
        let host = &self.hosts[at];
        if host.in_flight >= self.per_host || matches!(host.robots, RobotsFile::Pending) {
            return Waiting::Event;
        }
        let retry = host.next_retry();
        let entry = match (self.has_new(at), retry) {
            (Ok(true), _) => Duration::ZERO,
            (_, Some(retry)) => retry,
            (Ok(false), None) => return Waiting::Event,
            (Err(depth), None) => return Waiting::Level(depth),
        };
        let host = &self.hosts[at];
        let robots = if let RobotsFile::Due(due, _) = &host.robots { *due } else { Duration::ZERO };
        let time = entry.max(robots).max(host.not_before);
        if time <= self.now { Waiting::Turn } else { Waiting::Time(time) }
    }

    /// Removes the next host from the list of those that are ready. The caller calls [`settle`](Self::settle) for it.
    pub fn next_host(&mut self) -> Option<usize> {
        while let Some(&Reverse((time, at))) = self.timers.peek()
            && time <= self.now
        {
            self.timers.pop();
            if self.hosts[at].waiting == Waiting::Time(time) {
                self.settle(at);
            }
        }
        while let Some(at) = self.ready.pop_front() {
            if self.hosts[at].waiting == Waiting::Turn {
                self.hosts[at].waiting = Waiting::Event;
                return Some(at);
            }
        }
        None
    }

    /// Returns the time at which a host is ready, if no event comes before.
    pub fn next_time(&mut self) -> Option<Duration> {
        while let Some(&Reverse((time, at))) = self.timers.peek() {
            if self.hosts[at].waiting == Waiting::Time(time) {
                return Some(time);
            }
            self.timers.pop();
        }
        None
    }

    /// Begins the next level, if a host waits for it. The caller calls this if nothing else is left to do.
    pub fn advance_level(&mut self) -> bool {
        let mut later = std::mem::take(&mut self.later);
        later.sort_unstable();
        later.dedup();
        let depth = |at: usize| match self.hosts[at].waiting {
            Waiting::Level(depth) => Some(depth),
            _ => None,
        };
        let Some(next) = later.iter().filter_map(|&at| depth(at)).min() else { return false };
        self.level = Some(next);
        for at in later {
            if let Waiting::Level(_) = self.hosts[at].waiting {
                self.hosts[at].waiting = Waiting::Event;
                self.settle(at);
            }
        }
        true
    }

    /// Removes the rules of hosts without work, which are fetched again if needed. Returns their memory, in bytes.
    pub fn forget_rules(&mut self) -> usize {
        let mut forgotten = 0;
        for host in self.hosts.iter_mut().filter(|host| host.len() == 0 && host.in_flight == 0) {
            forgotten += host.robots.bytes();
            if host.robots.bytes() > 0 {
                host.robots = RobotsFile::Unknown;
            }
        }
        forgotten
    }

    /// Decides if entries without attempts are fetched.
    pub fn set_takes_new(&mut self, takes_new: bool) {
        if self.takes_new != takes_new {
            self.takes_new = takes_new;
            (0..self.hosts.len()).for_each(|at| self.settle(at));
        }
    }
}
