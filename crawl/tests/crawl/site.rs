//! Sites in memory, and a client that answers the requests of a crawl from them.

use std::collections::BTreeMap;
use std::time::Duration;

use sinbin_crawl::{
    Crawl, Failure, FailureKind, Fetch, FetchId, Kind, Next, Outcome, Report, Response, Settings, parse_seed,
};

/// An answer of a site.
#[derive(Debug, Clone)]
pub enum Answer {
    Page { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    Failure(FailureKind),
}

/// Returns a page of HTML.
pub fn html(body: impl Into<Vec<u8>>) -> Answer {
    Answer::Page { status: 200, headers: vec![("content-type", "text/html".into())], body: body.into() }
}

/// Returns a page with these links.
pub fn links<T: AsRef<str>>(links: impl IntoIterator<Item = T>) -> Answer {
    html(links.into_iter().map(|link| format!("<a href=\"{}\">x</a>", link.as_ref())).collect::<String>())
}

pub fn text(body: impl Into<Vec<u8>>) -> Answer {
    Answer::Page { status: 200, headers: vec![("content-type", "text/plain".into())], body: body.into() }
}

pub fn redirect(to: &str) -> Answer {
    status(302, &[("location", to)])
}

pub fn status(status: u16, headers: &[(&'static str, &str)]) -> Answer {
    let headers = headers.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    Answer::Page { status, headers, body: Vec::new() }
}

/// The answers by URL, in their order. The last one is repeated, and other URLs have the status 404.
#[derive(Debug, Default)]
pub struct Web {
    pub answers: BTreeMap<String, Vec<Answer>>,
    /// The URLs of the requests that were answered, with their methods and purposes.
    pub log: Vec<(Kind, String)>,
}

impl Web {
    pub fn new<const N: usize>(pages: [(&str, Answer); N]) -> Self {
        let answers = pages.into_iter().map(|(url, answer)| (full(url), vec![answer])).collect();
        Self { answers, log: Vec::new() }
    }

    /// Adds an answer after those that a URL has.
    pub fn then(mut self, url: &str, answer: Answer) -> Self {
        self.answers.entry(full(url)).or_default().push(answer);
        self
    }

    /// Answers a request.
    pub fn answer(&mut self, crawl: &mut Crawl, fetch: &Fetch, now: Duration) -> Option<Report> {
        self.log.push((fetch.kind, fetch.url.to_string()));
        let answers = self.answers.get_mut(fetch.url.as_str());
        let answer = match answers {
            Some(answers) if answers.len() > 1 => Some(answers.remove(0)),
            answers => answers.and_then(|answers| answers.first().cloned()),
        };
        let answer = answer.unwrap_or_else(|| status(404, &[]));
        finish(crawl, fetch.id, &answer, fetch.max_bytes, now)
    }

    /// Returns the requests for pages.
    pub fn pages(&self) -> Vec<&str> {
        self.log.iter().filter(|(kind, _)| *kind == Kind::Page).map(|(_, url)| url.as_str()).collect()
    }
}

fn full(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://a.example{url}") }
}

/// Passes an answer to a crawl.
pub fn finish(
    crawl: &mut Crawl,
    id: FetchId,
    answer: &Answer,
    max_bytes: usize,
    now: Duration,
) -> Option<Report> {
    let outcome = match answer {
        Answer::Failure(kind) => Outcome::Failed(Failure::new(*kind, kind.name())),
        Answer::Page { status, headers, body } => {
            let header = |name: &str| {
                headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_bytes())
            };
            Outcome::Response(Response {
                status: *status,
                location: header("location"),
                content_type: header("content-type"),
                retry_after: header("retry-after"),
                date: header("date"),
                robots_tag: header("x-robots-tag"),
                body: &body[..body.len().min(max_bytes)],
                truncated: body.len() > max_bytes,
                received: body.len() as u64,
                ..Response::default()
            })
        }
    };
    crawl.finished(id, outcome, now)
}

/// Returns settings that begin at `http://a.example/`.
pub fn settings() -> Settings {
    Settings::new([parse_seed("a.example").expect("a URL")])
}

/// Runs a crawl to its end, one request after the other, and returns its reports. Waiting takes no time.
pub fn run(crawl: &mut Crawl, web: &mut Web) -> Vec<Report> {
    let (mut now, mut reports) = (Duration::ZERO, Vec::new());
    for _ in 0..100_000 {
        match crawl.next(now) {
            Next::Fetch(fetch) => reports.extend(web.answer(crawl, &fetch, now)),
            Next::Report(report) => reports.push(report),
            Next::Wait(time) => {
                let time = time.expect("no request is in flight");
                assert!(time > now, "a crawl never waits for the past");
                now = time;
            }
            Next::Done => return reports,
        }
    }
    panic!("the crawl does not end");
}

/// Runs a new crawl to its end.
pub fn crawl(settings: Settings, web: &mut Web) -> (Crawl, Vec<Report>) {
    let mut crawl = Crawl::new(settings);
    let reports = run(&mut crawl, web);
    (crawl, reports)
}

/// Returns the report of a URL, of which there is one.
pub fn report<'a>(reports: &'a [Report], url: &str) -> &'a Report {
    let mut found = reports.iter().filter(|report| report.url.as_str() == full(url));
    let report = found.next().unwrap_or_else(|| panic!("no report of {url}: {reports:#?}"));
    assert!(found.next().is_none(), "two reports of {url}");
    report
}
