//! The crawl: what to fetch next, and what follows from a response.

mod answer;
mod discover;
mod redirect;
mod robots_file;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use crate::fetch::{Fetch, FetchId, Kind, Method};
use crate::frontier::{Entry, RobotsFile, Schedule, Seen};
use crate::outcome::Outcome;
use crate::pattern::canonical_path;
use crate::reading::MAX_ROBOTS_BYTES;
use crate::report::{Error, Links, Report};
use crate::scope::{KnownHosts, Scope};
use crate::settings::Settings;
use crate::state::{self, LoadError, State};
use crate::summary::{Progress, Summary};
use crate::target;

use redirect::Redirects;

/// The number of decoded bytes of a sitemap that are read (sitemaps.org: 50 MB).
const MAX_SITEMAP_BYTES: usize = 50 << 20;

/// The number of URLs of a sitemap that are read (sitemaps.org: 50,000).
const MAX_SITEMAP_LINKS: usize = 50_000;

/// The next thing to do for a crawl.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the caller uses it up at once")]
pub enum Next {
    /// Send this request, and pass its outcome to [`Crawl::finished`].
    Fetch(Fetch),
    /// A URL that is not fetched: print its report, and ask again.
    Report(Report),
    /// Wait until a request finishes or, if a time is given, until that time of the caller's clock.
    Wait(Option<Duration>),
    /// The crawl has ended: no request is in flight, and none may be sent.
    Done,
}

/// A crawl, as a state machine: the caller sends requests, and the crawl decides which.
///
/// The caller asks for the [next](Self::next) thing to do until it has to wait, and passes the outcome of each request to
/// [`finished`](Self::finished). Each URL of the crawl gets exactly one [`Report`]. The same settings, times and outcomes
/// give the same requests in the same order.
#[derive(Debug)]
pub struct Crawl {
    settings: Settings,
    scope: Scope,
    known_hosts: KnownHosts,
    seen: Seen,
    redirects: Redirects,
    schedule: Schedule,
    in_flight: BTreeMap<FetchId, InFlight>,
    next_id: u64,
    /// The number of pages whose first request was sent.
    started: u64,
    summary: Summary,
}

/// A request in flight.
#[derive(Debug)]
struct InFlight {
    host: usize,
    entry: Entry,
    url: Url,
    method: Method,
}

impl Crawl {
    /// Creates a crawl that begins with the seeds of `settings`.
    pub fn new(settings: Settings) -> Self {
        let mut crawl = Self::empty(settings);
        crawl.add_seeds();
        crawl
    }

    fn empty(settings: Settings) -> Self {
        Self {
            scope: Scope::new(&settings),
            known_hosts: KnownHosts::default(),
            seen: Seen::new(settings.key),
            redirects: Redirects::default(),
            schedule: Schedule::new(settings.max_hosts, settings.per_host, settings.max_depth.is_some()),
            in_flight: BTreeMap::new(),
            next_id: 0,
            started: 0,
            summary: Summary::default(),
            settings,
        }
    }

    fn add_seeds(&mut self) {
        for seed in self.settings.seeds.clone() {
            if let Ok(target) = target::of(seed) {
                self.summary.skipped.credentials += u64::from(target.had_credentials);
                self.queue_if_new(&target.url, Kind::Page, 0, None);
            }
        }
    }

    /// Returns the URLs that the crawl begins with, each once.
    fn seeds(&self) -> BTreeSet<String> {
        let targets = self.settings.seeds.iter().filter_map(|seed| target::of(seed.clone()).ok());
        targets.map(|target| target.url.into()).collect()
    }

    /// Returns what to do next. `now` is the time since any fixed moment. O(1), and O(log n) for hosts that wait.
    pub fn next(&mut self, now: Duration) -> Next {
        self.schedule.advance(now);
        if self.in_flight.len() >= self.settings.concurrency.max(1) {
            return Next::Wait(None);
        }
        loop {
            self.schedule.set_takes_new(self.started < self.settings.max_pages);
            while let Some(host) = self.schedule.next_host() {
                let next = self.start(host);
                self.schedule.settle(host);
                if let Some(next) = next {
                    return next;
                }
            }
            let time = self.schedule.next_time();
            if time.is_some() || !self.in_flight.is_empty() {
                return Next::Wait(time);
            }
            if !self.schedule.advance_level() {
                return Next::Done;
            }
        }
    }

    /// Begins with the next entry of a host.
    fn start(&mut self, at: usize) -> Option<Next> {
        if let Some(entry) = self.due_robots_file(at) {
            let url = Url::parse(&entry.url).ok()?;
            self.schedule.host(at).robots = RobotsFile::Pending;
            return Some(self.fetch(at, entry, url));
        }
        let entry = self.schedule.pop(at)?;
        let url = Url::parse(&entry.url).ok()?;
        match self.refusal(at, &entry, &url) {
            Some(error) => {
                let report = Self::report(&entry, &url, Some(error));
                Some(self.decided(report))
            }
            None => Some(self.fetch(at, entry, url)),
        }
    }

    /// Returns the reason why a URL may not be fetched.
    fn refusal(&self, at: usize, entry: &Entry, url: &Url) -> Option<Error> {
        if self.scope.is_private(url) {
            return Some(Error::Private(url.host_str().unwrap_or_default().to_owned()));
        }
        match &self.schedule.hosts()[at].robots {
            _ if !self.settings.robots || entry.kind == Kind::Sitemap => None,
            RobotsFile::Known(robots) if !robots.allows(&canonical_path(url)) => Some(Error::Robots),
            RobotsFile::Unreachable(error) => Some(error.clone()),
            _ => None,
        }
    }

    fn decided(&mut self, report: Report) -> Next {
        self.summary.count(&report);
        Next::Report(report)
    }

    /// Makes the request for an entry.
    fn fetch(&mut self, at: usize, mut entry: Entry, url: Url) -> Next {
        let delay = self.delay(at);
        let now = self.schedule.now();
        let host = self.schedule.host(at);
        host.in_flight += 1;
        host.not_before = host.not_before.max(now.saturating_add(delay));
        let id = FetchId(self.next_id);
        self.next_id += 1;
        self.started += u64::from(entry.kind == Kind::Page && entry.attempts == 0);
        entry.attempts += 1;
        let method = if entry.kind == Kind::Check && !entry.is_get { Method::Head } else { Method::Get };
        let fetch = Fetch {
            id,
            kind: entry.kind,
            method,
            depth: entry.depth,
            referrer: entry.referrer.as_ref().and_then(|referrer| Url::parse(referrer).ok()),
            attempt: entry.attempts,
            max_bytes: match entry.kind {
                Kind::Page => self.settings.max_page_bytes,
                Kind::Robots => MAX_ROBOTS_BYTES,
                Kind::Sitemap => MAX_SITEMAP_BYTES,
                Kind::Check => 0,
            },
            may_be_private: self.scope.is_named(&url)
                && !self.known_hosts.is_public(url.host_str().unwrap_or_default()),
            url: url.clone(),
        };
        self.in_flight.insert(id, InFlight { host: at, entry, url, method });
        Next::Fetch(fetch)
    }

    /// Returns the time between two requests to a host.
    fn delay(&self, at: usize) -> Duration {
        let of_robots = match &self.schedule.hosts()[at].robots {
            RobotsFile::Known(robots) => robots.delay.unwrap_or_default().min(self.settings.max_crawl_delay),
            _ => Duration::ZERO,
        };
        self.settings.delay.max(of_robots)
    }

    /// Learns the addresses to which the name of a request's host was resolved. The caller calls this before
    /// [`finished`](Self::finished) or [`abandon`](Self::abandon), if the request needed a new connection. If a host that
    /// the settings name had only public addresses at first, no later request [permits](Fetch::permits) a private one.
    pub fn resolved(&mut self, id: FetchId, addresses: &[IpAddr]) {
        let Some(InFlight { url, .. }) = self.in_flight.get(&id) else { return };
        if self.scope.is_named(url) {
            self.known_hosts.learn(url.host_str().unwrap_or_default(), addresses);
        }
    }

    /// Learns the outcome of a request. Returns the report of its URL, or `None` if the request is repeated later, or
    /// `id` is not in flight.
    pub fn finished(&mut self, id: FetchId, outcome: Outcome<'_>, now: Duration) -> Option<Report> {
        self.schedule.advance(now);
        let request = self.remove(id)?;
        let host = request.host;
        let report = match request.entry.kind {
            Kind::Robots => self.answer_robots_file(request, outcome),
            Kind::Page | Kind::Sitemap | Kind::Check => self.answer(request, outcome),
        };
        if let Some(report) = &report {
            self.summary.count(report);
        }
        self.schedule.settle(host);
        report
    }

    /// Queues a request again that the caller stopped. The attempt does not count.
    pub fn abandon(&mut self, id: FetchId) {
        let Some(InFlight { host, mut entry, .. }) = self.remove(id) else { return };
        entry.attempts -= 1;
        if entry.kind == Kind::Robots {
            self.schedule.host(host).robots = RobotsFile::Due(Duration::ZERO, Box::new(entry));
            return self.schedule.settle(host);
        }
        self.started -= u64::from(entry.kind == Kind::Page && entry.attempts == 0);
        self.schedule.push_front(host, entry);
    }

    fn remove(&mut self, id: FetchId) -> Option<InFlight> {
        let request = self.in_flight.remove(&id)?;
        self.schedule.host(request.host).in_flight -= 1;
        Some(request)
    }

    /// Creates the report of an entry without a response.
    fn report(entry: &Entry, url: &Url, error: Option<Error>) -> Report {
        Report {
            url: url.clone(),
            kind: entry.kind,
            depth: entry.depth,
            referrer: entry.referrer.as_ref().and_then(|referrer| Url::parse(referrer).ok()),
            attempts: entry.attempts,
            status: None,
            content_type: None,
            title: None,
            bytes: 0,
            truncated: false,
            first_byte: Duration::ZERO,
            total: Duration::ZERO,
            links: Links::default(),
            redirect: None,
            error,
        }
    }

    /// Returns the present state.
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.summary.pages + self.summary.checks,
            in_flight: self.in_flight.len(),
            queued: self.schedule.queued(),
            seen: self.seen.len(),
            hosts: self.schedule.hosts().len(),
            errors: self.summary.failed(),
            broken: self.summary.broken,
            bytes: self.summary.bytes,
        }
    }

    /// Returns the counters.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Writes the state, from which [`load`](Self::load) continues. Requests in flight are saved as queued, so a caller
    /// that ends waits for them, or [abandons](Self::abandon) them, and passes no outcome to this crawl afterwards.
    /// O(URLs).
    ///
    /// # Errors
    ///
    /// Returns the error of `to`.
    pub fn save(&self, to: impl Write) -> io::Result<()> {
        // The robots.txt of each host is fetched again.
        let in_flight = self.in_flight.values().filter(|request| request.entry.kind != Kind::Robots);
        let repeated = self.schedule.hosts().iter().flat_map(|host| host.attempted());
        let again = in_flight.clone().map(|request| &request.entry).chain(repeated);
        // These count when they are sent again.
        let again = again.filter(|entry| entry.kind == Kind::Page && entry.attempts > 0).count() as u64;
        let entries = self.schedule.hosts().iter().enumerate().flat_map(|(at, host)| {
            let in_flight = in_flight.clone().filter(move |request| request.host == at);
            in_flight.map(|request| request.entry.clone()).chain(host.entries())
        });
        let state = State {
            key: self.seen.key(),
            seeds: self.seeds().into_iter().collect(),
            public_hosts: self.known_hosts.public().map(str::to_owned).collect(),
            seen: self.seen.sorted(),
            redirects: self.redirects.pairs().collect(),
            summary: self.summary.clone(),
            started: self.started - again,
        };
        state::write(to, &state, entries)
    }

    /// Creates a crawl that continues from a saved state. The settings can differ, and hold for what is found from now on;
    /// seeds that the state does not know are queued. [`Settings::key`] is that of the state.
    ///
    /// # Errors
    ///
    /// Fails with a [`LoadError`] if the state cannot be read, is invalid, or has a seed that the settings do not have:
    /// what is queued belongs to its hosts.
    pub fn load(settings: Settings, from: impl Read) -> Result<Self, LoadError> {
        let mut crawl = Self::empty(settings);
        let state = state::read(from, |entry| crawl.restore(&entry))?;
        let known = crawl.seeds();
        if state.seeds.iter().any(|seed| !known.contains(seed)) {
            return Err(LoadError::Seeds(state.seeds));
        }
        crawl.settings.key = state.key;
        crawl.known_hosts = state.public_hosts.into_iter().collect();
        crawl.seen = Seen::new(state.key);
        crawl.seen.extend(state.seen);
        crawl.redirects = state.redirects.into_iter().collect();
        crawl.summary = state.summary;
        crawl.started = state.started;
        crawl.add_seeds();
        Ok(crawl)
    }

    /// Queues an entry of a saved state.
    fn restore(&mut self, entry: &Entry) -> Result<(), LoadError> {
        let url = Url::parse(&entry.url).map_err(|_| LoadError::Damaged("an invalid URL"))?;
        let is_fetched = target::of(url.clone()).is_ok_and(|target| target.url.as_str() == entry.url);
        if !is_fetched || entry.kind == Kind::Robots {
            return Err(LoadError::Damaged("a URL that no crawl fetches"));
        }
        match self.schedule.host_of(&url) {
            Some(at) => self.schedule.push_back(at, entry),
            None => self.summary.skipped.full += 1,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{Crawl, LoadError, Next};
    use crate::{Failure, FailureKind, Outcome, Response, Settings, parse_seed};

    /// Returns true if the next request may be sent to a private address. The host has these addresses then.
    fn permits(crawl: &mut Crawl, addresses: &[&str]) -> bool {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let Next::Fetch(fetch) = crawl.next(Duration::ZERO) else { panic!("a request is sent") };
        assert!(fetch.permits(IpAddr::from([1, 1, 1, 1])), "a public address is always permitted");
        crawl.resolved(fetch.id, &addresses);
        let body = b"<a href=/b><a href=/c><a href=/d>";
        let page = Response { status: 200, body, ..Response::default() };
        crawl.finished(fetch.id, Outcome::Response(page), Duration::ZERO);
        fetch.permits(IpAddr::from([127, 0, 0, 1]))
    }

    /// The owner of a site also rules over the addresses of its name.
    #[test]
    fn a_name_that_was_public_does_not_become_private() {
        let settings = Settings { robots: false, ..Settings::new([parse_seed("a.example").expect("a URL")]) };
        for (first, stays) in [
            (&["1.1.1.1", "2606:4700::1111"][..], false),
            (&["127.0.0.1"], true),
            // A company's network and the public one can know a name by different addresses.
            (&["1.1.1.1", "10.0.0.1"], true),
        ] {
            let mut crawl = Crawl::new(settings.clone());
            assert!(permits(&mut crawl, &[]), "nothing is known of the host");
            assert!(permits(&mut crawl, first), "the first addresses count");
            assert_eq!(permits(&mut crawl, &["127.0.0.1", "1.1.1.1"]), stays, "{first:?}");
            let mut state = Vec::new();
            crawl.save(&mut state).expect("memory");
            let mut crawl = Crawl::load(settings.clone(), state.as_slice()).expect("a state");
            assert_eq!(permits(&mut crawl, &[]), stays, "{first:?}");
        }
    }

    #[test]
    fn seeds_that_have_a_response_are_counted() {
        let reached = |outcome| {
            let seeds = ["a.example", "b.example"].map(|seed| parse_seed(seed).expect("a URL"));
            let mut crawl = Crawl::new(Settings { robots: false, retries: 0, ..Settings::new(seeds) });
            // The second seed, and what the first one leads to, have no response.
            let failed = |_| Outcome::Failed(Failure::new(FailureKind::Connect, ""));
            let outcomes = std::iter::once(outcome).chain(std::iter::repeat(()).map(failed));
            for outcome in outcomes {
                let Next::Fetch(fetch) = crawl.next(Duration::ZERO) else { break };
                crawl.finished(fetch.id, outcome, Duration::ZERO);
            }
            (crawl.summary().reached, crawl.summary().pages)
        };
        let response =
            |status, location| Outcome::Response(Response { status, location, ..Response::default() });
        assert_eq!(reached(response(200, None)), (1, 2));
        assert_eq!(reached(response(404, None)), (1, 2));
        assert_eq!(reached(response(301, Some(b"/a"))), (1, 3));
        assert_eq!(reached(Outcome::Failed(Failure::new(FailureKind::Resolve, ""))), (0, 2));
    }

    #[test]
    fn a_state_needs_its_seeds() {
        let settings =
            |seeds: &[&str]| Settings::new(seeds.iter().map(|seed| parse_seed(seed).expect("a URL")));
        let mut state = Vec::new();
        Crawl::new(settings(&["b.example", "a.example", "a.example/#c"])).save(&mut state).expect("memory");
        let load = |seeds: &[&str]| Crawl::load(settings(seeds), state.as_slice());
        load(&["a.example", "b.example"]).expect("the order does not matter");
        let more = load(&["a.example", "c.example", "b.example"]).expect("further seeds are queued");
        assert_eq!(more.progress().queued, 3);
        for other in [&["a.example"][..], &["a.example/x", "b.example"], &["https://a.example/", "b.example"]]
        {
            let error = load(other).expect_err("another crawl");
            let text = error.to_string();
            assert!(
                matches!(error, LoadError::Seeds(_)) && text.contains("http://a.example/ http://b.example/"),
                "{text}"
            );
        }
    }
}
