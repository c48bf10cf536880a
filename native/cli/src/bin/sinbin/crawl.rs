//! `sinbin crawl`: walks sites, and reports what it found.

mod args;
mod atomic;
mod connect;
mod line;
mod output;
mod save;
mod state;
mod stop;
mod table;
mod walk;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use sinbin::Settings as LoopSettings;
use sinbin::task::Handle;
use sinbin_cli::descriptors::make_room_for;
use sinbin_cli::stream::{ERR, OUT};
use sinbin_crawl::Crawl;
use sinbin_crawl_http::{Fetcher, TimeLimits};

pub(crate) use args::CrawlArgs;
use connect::Connector;
use output::Output;
use save::Mirror;
use state::StateFile;
use stop::Stop;
use table::Table;
use walk::{End, Walk};

use crate::cli::refuse_crawl;

/// The exit code if there are broken links, if no start URL had a response, or if something could not be written.
const FAILED: u8 = 1;
/// The exit code if Ctrl-C has ended the crawl before it was complete.
const INCOMPLETE: u8 = 9;

/// The time that stands for "off".
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The time after which an idle thread for look-ups of names ends. A process with one thread is faster.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &CrawlArgs) -> Result<ExitCode, Box<dyn Error>> {
    let (mut settings, user_agent) = args.settings().unwrap_or_else(|what| refuse_crawl(&what));
    // Each connection in use can leave an idle one. Without descriptors, links would count as broken.
    let room = make_room_for(args.concurrency.saturating_mul(2)) as usize;
    settings.concurrency = settings.concurrency.min(room / 2).max(1);
    let concurrency = settings.concurrency;
    let (mut state, mut crawl, continues) = match &args.state {
        Some(path) => {
            let (state, crawl, continues) = StateFile::open(path, settings)?;
            (Some(state), crawl, continues)
        }
        None => (None, Crawl::new(settings), false),
    };
    let mirror = args.save.as_deref().map(Mirror::create).transpose()?;
    let mut output = Output::new(args, &crawl);
    let before = crawl.progress();
    if let Some(state) = state.as_ref().filter(|_| continues) {
        let (path, done, queued) = (state.path().display(), before.done, before.queued);
        output.complain(&format!("{path}: continues after {done} pages, with {queued} queued"));
    }
    let pages_before = crawl.summary().pages;
    let began = Instant::now();
    let loop_settings = LoopSettings::default().thread_keep_alive(THREAD_KEEP_ALIVE).observe(true);
    let (end, unsaved, elapsed) = loop_settings.run(async |handle| {
        let fetcher = fetcher(handle, args, concurrency, user_agent)?;
        let stop = Stop::new(handle)?;
        let mut walk = Walk::new(handle, &mut crawl, &mut output, state.as_mut(), mirror.as_ref());
        let end = walk.run(fetcher, &stop).await?;
        Ok::<_, Box<dyn Error>>((end, walk.unsaved, began.elapsed()))
    })??;
    output.end_progress();
    let left = crawl.progress();
    let table = Table {
        summary: crawl.summary(),
        elapsed,
        before: pages_before,
        left: left.queued as u64 + left.in_flight as u64,
    };
    finish(args, &end, unsaved, &crawl, &table, &mut output, state.as_mut())
}

fn fetcher<'d>(
    handle: Handle<'d>,
    args: &CrawlArgs,
    concurrency: usize,
    user_agent: HeaderValue,
) -> Result<Fetcher<'d, Connector<'d>>, Box<dyn Error>> {
    let limits = TimeLimits {
        connect: args.connect_timeout.0.unwrap_or(FOREVER),
        read: args.read_timeout.0.unwrap_or(FOREVER),
        total: args.timeout.0.unwrap_or(FOREVER),
    };
    let connector = Connector::new(handle, args.ca.as_deref())?;
    Ok(Fetcher::new(handle, limits, connector, concurrency, user_agent))
}

/// Writes the last results, the state and the summary, each as far as possible, and returns the exit code.
fn finish(
    args: &CrawlArgs,
    end: &End,
    unsaved: u64,
    crawl: &Crawl,
    table: &Table<'_>,
    output: &mut Output,
    state: Option<&mut StateFile>,
) -> Result<ExitCode, Box<dyn Error>> {
    let mut code = match end {
        End::Stopped => INCOMPLETE,
        End::Failed(_) | End::Unwritable(_) => FAILED,
        End::Done | End::Unread => 0,
    };
    let mut failed = |what: &str| {
        output.complain(what);
        code = FAILED;
    };
    if let End::Failed(what) | End::Unwritable(what) = end {
        failed(what);
    }
    if unsaved > 0 {
        failed(&format!("{unsaved} pages were not saved"));
    }
    // A state without the lines that could not be written would lose them.
    let has_lost_lines = matches!(end, End::Unwritable(_) | End::Unread);
    if let Some(Err(what)) = state.filter(|_| !has_lost_lines).map(|state| state.write(crawl)) {
        failed(&what);
    }
    // A site that is down must not look like one without faults.
    if matches!(end, End::Done) && crawl.summary().reached == 0 {
        failed("no start URL had a response");
    }
    if args.broken && crawl.summary().broken > 0 {
        code = FAILED;
    }
    let summary = format!("{table}\n");
    if args.json || has_lost_lines {
        ERR.offer(summary.as_bytes()).ok();
    } else if let Err(error) = OUT.write_all(summary.as_bytes())
        && !output::is_closed(&error)
    {
        return Err(format!("cannot write to stdout: {error}").into());
    }
    Ok(ExitCode::from(code))
}
