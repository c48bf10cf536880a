//! The results on stdout, and the progress on a terminal.

use std::io::{self, ErrorKind, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sinbin_cli::stream::OUT;
use sinbin_crawl::{Crawl, Kind, Report};

use super::args::CrawlArgs;
use super::line;

/// The number of bytes of lines that are collected before they are written, at most.
const CAPACITY: usize = 64 << 10;

/// The time between two updates of the progress.
const UPDATE: Duration = Duration::from_millis(100);

/// The reports that are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A JSON object for each URL; with the links of pages if the flag is set.
    Json(bool),
    /// A line of text for each URL.
    All,
    /// A line of text for each URL with a problem.
    Problems,
    /// A line of text for each broken link.
    Broken,
    /// A JSON object for each broken link.
    BrokenJson(bool),
}

/// The output of a crawl.
pub(crate) struct Output {
    mode: Mode,
    lines: Vec<u8>,
    progress: Option<Bar>,
}

/// A line on stderr that is updated.
struct Bar {
    bar: ProgressBar,
    began: Instant,
    updated: Instant,
    /// The number of URLs that were done before this run.
    before: u64,
}

impl Output {
    pub(crate) fn new(args: &CrawlArgs, crawl: &Crawl) -> Self {
        let mode = match (args.json, args.broken) {
            (true, true) => Mode::BrokenJson(args.list_links),
            (true, false) => Mode::Json(args.list_links),
            (false, true) => Mode::Broken,
            (false, false) if args.all => Mode::All,
            (false, false) => Mode::Problems,
        };
        let progress = io::stderr().is_terminal().then(|| Bar::new(crawl.progress().done));
        Self { mode, lines: Vec::new(), progress }
    }

    /// Prints a report, as far as the options ask for it.
    ///
    /// # Errors
    ///
    /// Fails if stdout can't be written.
    pub(crate) fn report(&mut self, report: &Report) -> io::Result<()> {
        let is_page = matches!(report.kind, Kind::Page | Kind::Check);
        match self.mode {
            Mode::Json(lists_links) => sinbin_crawl::json(report, lists_links, &mut self.lines),
            Mode::BrokenJson(lists_links) if report.is_broken() => {
                sinbin_crawl::json(report, lists_links, &mut self.lines);
            }
            Mode::All if is_page || has_problem(report) => line::text(report, &mut self.lines),
            Mode::Problems if has_problem(report) => line::text(report, &mut self.lines),
            Mode::Broken if report.is_broken() => line::text(report, &mut self.lines),
            _ => {}
        }
        if self.lines.len() < CAPACITY { Ok(()) } else { self.flush() }
    }

    /// Writes what was collected.
    ///
    /// # Errors
    ///
    /// Fails if stdout can't be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let write = || OUT.write_all(&lines);
        match &self.progress {
            // Both may be on one terminal.
            Some(progress) => progress.bar.suspend(write),
            None => write(),
        }
    }

    /// Updates the progress, unless that was done just now.
    pub(crate) fn update(&mut self, crawl: &Crawl) {
        if let Some(progress) = &mut self.progress {
            progress.update(crawl);
        }
    }

    /// Returns the time after which the progress is to be updated, even if nothing happens.
    pub(crate) fn next_update(&self) -> Option<Duration> {
        self.progress.as_ref().map(|_| UPDATE)
    }

    /// Prints a message beside the progress.
    pub(crate) fn complain(&self, what: &str) {
        match &self.progress {
            Some(progress) => progress.bar.suspend(|| sinbin_cli::complain(what)),
            None => sinbin_cli::complain(what),
        }
    }

    /// Removes the progress from the terminal.
    pub(crate) fn end_progress(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.bar.finish_and_clear();
        }
    }
}

/// Returns true if a report is printed although the URL is only one of many.
fn has_problem(report: &Report) -> bool {
    report.is_broken() || report.error.is_some() || report.truncated
}

impl Bar {
    fn new(before: u64) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let style = ProgressStyle::with_template("{spinner} {msg}");
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let now = Instant::now();
        Self { bar, began: now, updated: now, before }
    }

    fn update(&mut self, crawl: &Crawl) {
        if self.updated.elapsed() < UPDATE {
            return;
        }
        self.updated = Instant::now();
        let now = crawl.progress();
        let done = now.done - self.before.min(now.done);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = done as f64 / self.began.elapsed().as_secs_f64();
        self.bar.set_message(format!(
            "{} done, {} queued, {} in flight; {rate:.0}/s; {} errors, {} broken; {} on {} {}",
            HumanCount(now.done),
            HumanCount(now.queued as u64),
            now.in_flight,
            HumanCount(now.errors),
            HumanCount(now.broken),
            HumanBytes(now.bytes),
            now.hosts,
            if now.hosts == 1 { "host" } else { "hosts" },
        ));
        self.bar.tick();
    }
}

/// Returns true if the reader of stdout has closed its end, as `| head` does.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}
