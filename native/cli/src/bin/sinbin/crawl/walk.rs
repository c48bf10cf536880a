//! The loop of a crawl: it starts requests, and passes their outcomes to the crawl.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sinbin::TaskId;
use sinbin::group::JoinSet;
use sinbin::task::{self, Either, Handle};
use sinbin_crawl::{Crawl, Failure, FailureKind, Fetch, FetchId, Kind, Next, Outcome, Report};
use sinbin_crawl_http::{Exchange, Fetched};

use super::connect::Connector;
use super::output::Output;
use super::save::{Mirror, SaveError};
use super::state::StateFile;
use super::stop::Stop;

/// The time after which reports without requests are interrupted, so that the other tasks run and Ctrl-C is noticed. A
/// robots.txt can forbid millions of URLs by rules that take milliseconds for each.
const MAX_STEP: Duration = Duration::from_millis(50);

/// The time of such an interruption. None at all would not let the loop look at its sockets.
const PAUSE: Duration = Duration::from_millis(1);

type Fetcher<'d> = sinbin_crawl_http::Fetcher<'d, Connector<'d>>;

/// The reason why a crawl has ended.
pub(crate) enum End {
    /// Nothing is left to fetch.
    Done,
    /// The user has asked for a stop.
    Stopped,
    /// The reader of stdout has closed its end.
    Unread,
    /// Stdout can't be written.
    Unwritable(String),
    /// The pages or the state can't be stored.
    Failed(String),
}

/// A crawl that runs.
pub(crate) struct Walk<'a, 'd> {
    pub(crate) handle: Handle<'d>,
    pub(crate) crawl: &'a mut Crawl,
    pub(crate) output: &'a mut Output,
    pub(crate) state: Option<&'a mut StateFile>,
    pub(crate) mirror: Option<&'a Mirror>,
    /// The number of pages that were not saved.
    pub(crate) unsaved: u64,
    began: Instant,
    running: HashMap<TaskId, FetchId>,
}

/// The outcome of a request.
struct Done {
    fetch: Fetch,
    exchange: Exchange,
}

impl<'a, 'd> Walk<'a, 'd> {
    pub(crate) fn new(
        handle: Handle<'d>,
        crawl: &'a mut Crawl,
        output: &'a mut Output,
        state: Option<&'a mut StateFile>,
        mirror: Option<&'a Mirror>,
    ) -> Self {
        let (began, running) = (Instant::now(), HashMap::new());
        Self { handle, crawl, output, state, mirror, unsaved: 0, began, running }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Crawls until nothing is left, or until `stop`.
    ///
    /// # Errors
    ///
    /// Fails if the task of the crawl must not wait.
    pub(crate) async fn run(&mut self, fetcher: Fetcher<'d>, stop: &Stop<'d>) -> Result<End, task::Error> {
        let fetcher = Rc::new(fetcher);
        let fetches = JoinSet::new(self.handle);
        let ended = self.run_fetches(&fetcher, &fetches, stop).await;
        // The requests in flight end here. A state contains their URLs as queued.
        drop(fetches);
        let ended = ended.and_then(|()| self.output.flush().map_err(|error| Ended::of_output(&error)));
        match ended {
            Err(Ended::Wait(error)) => Err(error),
            Err(Ended::Here(end)) => Ok(end),
            Ok(()) => Ok(End::Done),
        }
    }

    async fn run_fetches(
        &mut self,
        fetcher: &Rc<Fetcher<'d>>,
        fetches: &JoinSet<'d, Done>,
        stop: &Stop<'d>,
    ) -> Result<(), Ended> {
        loop {
            let Some(until) = self.start(fetcher, fetches)? else { return Ok(()) };
            self.output.flush().map_err(|error| Ended::of_output(&error))?;
            self.output.update(self.crawl);
            if let Some(state) = &mut self.state {
                state.write_if_due(self.crawl).map_err(failed)?;
            }
            let span = until.map(|until| until.saturating_sub(self.now()));
            let span = [span, self.output.next_update()].into_iter().flatten().min();
            let ended = fetches.next_end();
            let ended = async {
                match span {
                    None => Some(ended.await).transpose(),
                    Some(span) => self.handle.timeout(span, ended).await.ok().transpose(),
                }
            };
            match task::select(ended, stop.asked()).await {
                Either::First(ended) => {
                    let mut next = ended?;
                    // All that have ended are handled before the next wait.
                    while let Some((task, done)) = next {
                        self.finish(task, done.ok())?;
                        next = fetches.try_join_next();
                    }
                }
                Either::Second(asked) => {
                    asked?;
                    self.output.flush().map_err(|error| Ended::of_output(&error))?;
                    return Err(Ended::Here(End::Stopped));
                }
            }
        }
    }

    /// Starts the requests that the crawl asks for. Returns the time until which to wait then, if a request that ends does
    /// not come before, or `None` at the end of the crawl.
    fn start(
        &mut self,
        fetcher: &Rc<Fetcher<'d>>,
        fetches: &JoinSet<'d, Done>,
    ) -> Result<Option<Option<Duration>>, Ended> {
        let end = self.now() + MAX_STEP;
        loop {
            let now = self.now();
            if now >= end {
                return Ok(Some(Some(now + PAUSE)));
            }
            match self.crawl.next(now) {
                Next::Fetch(fetch) => {
                    let id = fetch.id;
                    let is_saved = self.mirror.is_some();
                    match fetches.spawn(send(Rc::clone(fetcher), fetch, is_saved)) {
                        Ok(task) => drop(self.running.insert(task, id)),
                        Err(error) => return Err(Ended::Wait(error.into())),
                    }
                }
                Next::Report(report) => {
                    self.output.report(&report).map_err(|error| Ended::of_output(&error))?;
                }
                Next::Wait(until) => return Ok(Some(until)),
                Next::Done => return Ok(None),
            }
        }
    }

    /// Passes an outcome to the crawl. Without one, the task of the request has panicked.
    fn finish(&mut self, task: TaskId, done: Option<Done>) -> Result<(), Ended> {
        let Some(id) = self.running.remove(&task) else { return Ok(()) };
        let now = self.now();
        let Some(Done { fetch, exchange }) = done else {
            let failure = Failure::new(FailureKind::Other, "the request's task panicked");
            let report = self.crawl.finished(id, Outcome::Failed(failure), now);
            return self.report(report);
        };
        self.crawl.resolved(id, &exchange.addresses);
        if let Ok(fetched) = &exchange.result
            && let Err(end) = self.save(&fetch, fetched)
        {
            self.crawl.abandon(id);
            return Err(end);
        }
        let report = self.crawl.finished(id, exchange.outcome(), now);
        self.report(report)
    }

    fn report(&mut self, report: Option<Report>) -> Result<(), Ended> {
        match report {
            Some(report) => self.output.report(&report).map_err(|error| Ended::of_output(&error)),
            None => Ok(()),
        }
    }

    /// Saves a page, if pages are saved. A page that can't be saved is counted.
    fn save(&mut self, fetch: &Fetch, fetched: &Fetched) -> Result<(), Ended> {
        let Some(mirror) = self.mirror else { return Ok(()) };
        if !is_mirrored(fetch.kind, fetched.status) {
            return Ok(());
        }
        let content_type = fetched.content_type();
        let saved = match fetched.is_truncated {
            true => Err(SaveError::Page(format!("not saved: {} is larger than --max-page-size", fetch.url))),
            false => mirror.save(&fetch.url, content_type, &fetched.body),
        };
        match saved {
            Ok(()) => Ok(()),
            Err(SaveError::Page(text)) => {
                self.unsaved += 1;
                self.output.complain(&text);
                Ok(())
            }
            Err(SaveError::Ends(text)) => Err(failed(text)),
        }
    }
}

/// The reason why the loop has ended early.
enum Ended {
    Here(End),
    Wait(task::Error),
}

impl Ended {
    fn of_output(error: &std::io::Error) -> Self {
        if super::output::is_closed(error) {
            Self::Here(End::Unread)
        } else {
            Self::Here(End::Unwritable(format!("cannot write to stdout: {error}")))
        }
    }
}

fn failed(text: String) -> Ended {
    Ended::Here(End::Failed(text))
}

impl<E: Into<task::Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Wait(error.into())
    }
}

/// Returns true if a response is of a page that is saved.
fn is_mirrored(kind: Kind, status: u16) -> bool {
    kind == Kind::Page && status == 200
}

/// Sends a request of the crawl.
async fn send(fetcher: Rc<Fetcher<'_>>, fetch: Fetch, is_saved: bool) -> Done {
    let exchange = fetcher.exchange(&fetch, |status| is_saved && is_mirrored(fetch.kind, status)).await;
    Done { fetch, exchange }
}
