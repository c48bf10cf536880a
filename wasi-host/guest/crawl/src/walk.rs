//! The loop of a crawl: it starts requests, passes their outcomes to the crawl, and prints the reports.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sinbin_core::group::JoinSet;
use sinbin_core::task::{self, Either, Handle};
use sinbin_core::{Instant, TaskId};
use sinbin_crawl::{Crawl, Failure, FailureKind, FetchId, Next, Outcome, Report, json};
use sinbin_crawl_http::{Exchange, Fetcher};

use crate::connect::Connector;

/// The number of reports without requests, and the number of bytes of bodies, that are processed in one turn of the guest.
/// The host limits the time of a turn.
const MAX_REPORTS: u32 = 100;
const MAX_BYTES: usize = 2 << 20;

/// The time until the next turn.
const PAUSE: Duration = Duration::from_millis(1);

/// The reason why a crawl has ended.
pub(crate) enum End {
    /// Nothing is left to fetch.
    Done,
    /// The user has asked for a stop.
    Stopped,
    /// The main task must not wait.
    Failed(task::Error),
}

/// A crawl that runs.
pub(crate) struct Walk {
    handle: Handle<'static>,
    pub(crate) crawl: Crawl,
    is_broken_only: bool,
    lists_links: bool,
    running: BTreeMap<TaskId, FetchId>,
    lines: Vec<u8>,
}

impl Walk {
    pub(crate) fn new(
        handle: Handle<'static>,
        crawl: Crawl,
        is_broken_only: bool,
        lists_links: bool,
    ) -> Self {
        Self { handle, crawl, is_broken_only, lists_links, running: BTreeMap::new(), lines: Vec::new() }
    }

    fn now(&self) -> Duration {
        self.handle.now().since(Instant::ZERO)
    }

    /// Crawls until nothing is left, or until the host asks for the end.
    pub(crate) async fn run(&mut self, fetcher: Fetcher<'static, Connector>) -> End {
        let fetcher = Rc::new(fetcher);
        let fetches = JoinSet::new(self.handle);
        match self.run_fetches(&fetcher, &fetches).await {
            Ok(end) => end,
            Err(error) => End::Failed(error),
        }
    }

    async fn run_fetches(
        &mut self,
        fetcher: &Rc<Fetcher<'static, Connector>>,
        fetches: &JoinSet<'static, Exchange>,
    ) -> Result<End, task::Error> {
        loop {
            let Some(until) = self.start(fetcher, fetches)? else { return Ok(End::Done) };
            let span = until.map(|until| until.saturating_sub(self.now()));
            let handle = self.handle;
            let ended = async {
                match span {
                    None => Some(fetches.next_end().await).transpose(),
                    Some(span) => handle.timeout(span, fetches.next_end()).await.ok().transpose(),
                }
            };
            match task::select(ended, handle.stopping()).await {
                Either::First(ended) => {
                    let (mut next, mut bytes) = (ended?, 0);
                    while let Some((task, exchange)) = next {
                        bytes += self.finish(task, exchange.ok());
                        if bytes > MAX_BYTES {
                            bytes = 0;
                            handle.sleep(PAUSE).await;
                        }
                        next = fetches.try_join_next();
                    }
                }
                Either::Second(asked) => {
                    asked?;
                    return Ok(End::Stopped);
                }
            }
        }
    }

    /// Starts the requests that the crawl asks for. Returns the time until which to wait then, if a request that ends does
    /// not come before, or `None` at the end of the crawl.
    fn start(
        &mut self,
        fetcher: &Rc<Fetcher<'static, Connector>>,
        fetches: &JoinSet<'static, Exchange>,
    ) -> Result<Option<Option<Duration>>, task::Error> {
        let now = self.now();
        let mut reports = 0;
        loop {
            if reports == MAX_REPORTS {
                return Ok(Some(Some(now + PAUSE)));
            }
            match self.crawl.next(now) {
                Next::Fetch(fetch) => {
                    let (id, fetcher) = (fetch.id, Rc::clone(fetcher));
                    let task = fetches.spawn(async move { fetcher.exchange(&fetch, |_| false).await })?;
                    self.running.insert(task, id);
                }
                Next::Report(report) => {
                    reports += 1;
                    self.print(&report);
                }
                Next::Wait(until) => return Ok(Some(until)),
                Next::Done => return Ok(None),
            }
        }
    }

    /// Passes an outcome to the crawl. Returns the number of bytes of the body.
    fn finish(&mut self, task: TaskId, exchange: Option<Exchange>) -> usize {
        let Some(id) = self.running.remove(&task) else { return 0 };
        let now = self.now();
        let (bytes, report) = match &exchange {
            None => {
                let failure = Failure::new(FailureKind::Other, "the request's task was cancelled");
                (0, self.crawl.finished(id, Outcome::Failed(failure), now))
            }
            Some(exchange) => {
                self.crawl.resolved(id, &exchange.addresses);
                let bytes = exchange.result.as_ref().map_or(0, |fetched| fetched.body.len());
                (bytes, self.crawl.finished(id, exchange.outcome(), now))
            }
        };
        if let Some(report) = report {
            self.print(&report);
        }
        bytes
    }

    fn print(&mut self, report: &Report) {
        if self.is_broken_only && !report.is_broken() {
            return;
        }
        self.lines.clear();
        json(report, self.lists_links, &mut self.lines);
        sinbin_guest::print(&self.lines);
    }
}
