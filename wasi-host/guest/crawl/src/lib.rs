//! A web crawler as a component that a host drives. It reaches the hosts that its own host permits, and prints a JSON object
//! for each URL:
//!
//! `sinbin-wasi run crawl.wasm --allow-connect example.org:80 -- http://example.org/ > report.jsonl`
//!
//! Its decisions are those of `sinbin crawl`, by the crate `sinbin-crawl`, and so is its HTTP, by `sinbin-crawl-http`.

mod arguments;
mod connect;
mod io;
mod walk;

use sinbin_core::task::Handle;
use sinbin_crawl::Crawl;
use sinbin_crawl_http::Fetcher;
use sinbin_guest::{log, random};

use arguments::Arguments;
use connect::Connector;
use walk::{End, Walk};

sinbin_guest::program!(arguments: Arguments::parse, run: run);

/// The exit codes, which are those of `sinbin crawl`.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const INCOMPLETE: u8 = 9;

/// Crawls, and returns the exit code.
async fn run(arguments: Arguments, handle: Handle<'static>) -> u8 {
    let Arguments { mut settings, limits, user_agent, is_broken_only } = arguments;
    let mut key = [0; 16];
    if random(&mut key).is_err() {
        log::warn!("the host provides no random numbers: a site could know the order of this crawl's tables");
    }
    settings.key = u128::from_le_bytes(key);
    let (concurrency, lists_links) = (settings.concurrency, settings.list_links);
    let fetcher = Fetcher::new(handle, limits, Connector::new(handle), concurrency, user_agent);
    let mut walk = Walk::new(handle, Crawl::new(settings), is_broken_only, lists_links);
    let end = walk.run(fetcher).await;
    let (summary, progress) = (walk.crawl.summary(), walk.crawl.progress());
    let (pages, links, errors, broken) = (summary.pages, summary.links, summary.failed(), summary.broken);
    let left = progress.queued + progress.in_flight;
    log::info!("{pages} pages, {links} links, {errors} errors, {broken} broken links; {left} URLs left");
    match end {
        End::Stopped => INCOMPLETE,
        End::Failed(error) => {
            log::error!("{error}");
            FAILED
        }
        // A site that is down must not look like one without faults.
        End::Done if summary.reached == 0 => {
            log::error!("no start URL had a response");
            FAILED
        }
        End::Done if is_broken_only && broken > 0 => FAILED,
        End::Done => DONE,
    }
}
