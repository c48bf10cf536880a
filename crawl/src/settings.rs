//! The settings of a crawl.

use std::time::Duration;

use url::Url;

use crate::pattern::Pattern;
use crate::scope::HostPattern;

/// The settings of a crawl: where it starts, what it follows, and its limits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URLs to begin with. [`parse_seed`](crate::parse_seed) makes them of a user's text.
    pub seeds: Vec<Url>,
    /// The hosts that the crawl follows links to, beside the hosts of the seeds. Default: none.
    pub follow_hosts: Vec<HostPattern>,
    /// The patterns of which a URL must match one. Seeds need not. Default: none, which includes every URL.
    pub include: Vec<Pattern>,
    /// The patterns of URLs that are neither fetched nor checked. Default: none.
    pub exclude: Vec<Pattern>,
    /// The number of requests for pages, redirects included and retries not, after which the crawl ends.
    /// Default: 1,000,000.
    pub max_pages: u64,
    /// The number of links from a seed to the farthest pages. With a limit, pages are fetched level by level, so that
    /// the depth of each is that of the shortest path. A redirect counts as no link. If a page of its level links to its
    /// target too, the first of both that arrives decides. Default: `None`.
    pub max_depth: Option<u32>,
    /// The number of decoded bytes of a page that are read. Default: 16 MiB.
    pub max_page_bytes: usize,
    /// The number of requests at the same time. At least 1. Default: 64.
    pub concurrency: usize,
    /// The number of requests at the same time to one host and port. At least 1. Default: 8.
    pub per_host: usize,
    /// The least time between the beginnings of two requests to one host and port. Default: 0.
    pub delay: Duration,
    /// The longest `Crawl-delay` of a robots.txt that is kept. A longer one counts as this one. Default: 30 s.
    pub max_crawl_delay: Duration,
    /// The number of attempts after the first one, for failures of the connection and the statuses 429 and 503.
    /// Default: 2.
    pub retries: u32,
    /// The time before the second attempt, which doubles with each further one. Default: 1 s.
    pub backoff: Duration,
    /// The longest time before an attempt, also if `Retry-After` asks for a longer one. Default: 60 s.
    pub max_backoff: Duration,
    /// The number of redirects in a row that are followed. Default: 10.
    pub max_redirects: usize,
    /// The `User-Agent` of the requests. The letters before its first `/` or space are the name that the groups of a
    /// robots.txt are compared with. Default: `sinbin/` and the version.
    pub user_agent: String,
    /// True if robots.txt, `<meta name=robots content=nofollow>` and `X-Robots-Tag` are obeyed. Default: true.
    pub robots: bool,
    /// True if the sitemaps that a robots.txt names are read. Needs `robots`. Default: true.
    pub sitemaps: bool,
    /// True if links out of scope are checked by a HEAD request, as a link checker does. Default: false.
    pub check_external: bool,
    /// The number of links of a page or style sheet that are followed. Default: 20,000. Of a sitemap, 50,000 are, which is
    /// the limit of its format.
    pub max_links: usize,
    /// The longest URL that is followed, in bytes. Default: 4096.
    pub max_url_bytes: usize,
    /// The number of URLs that the crawl remembers, fetched or not. Further ones are refused. Some 20 bytes each.
    /// Default: 5,000,000.
    pub max_frontier: usize,
    /// The memory for URLs that are not fetched yet. Further ones are refused. Default: 256 MiB.
    pub max_queue_bytes: usize,
    /// The number of hosts, each with its port. URLs of further ones are refused. Default: 10,000.
    pub max_hosts: usize,
    /// True if [`Links::listed`](crate::Links::listed) has the links of each page. Default: false.
    pub list_links: bool,
    /// The key of the fingerprints by which URLs are remembered. A random key keeps a hostile site from URLs that
    /// collide with those of others. Default: 0, so that equal runs are equal.
    pub key: u128,
}

impl Settings {
    /// Creates the default settings with these seeds.
    pub fn new(seeds: impl IntoIterator<Item = Url>) -> Self {
        Self { seeds: seeds.into_iter().collect(), ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            follow_hosts: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            max_pages: 1_000_000,
            max_depth: None,
            max_page_bytes: 16 << 20,
            concurrency: 64,
            per_host: 8,
            delay: Duration::ZERO,
            max_crawl_delay: Duration::from_secs(30),
            retries: 2,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            max_redirects: 10,
            user_agent: concat!("sinbin/", env!("CARGO_PKG_VERSION")).to_owned(),
            robots: true,
            sitemaps: true,
            check_external: false,
            max_links: 20_000,
            max_url_bytes: 4096,
            max_frontier: 5_000_000,
            max_queue_bytes: 256 << 20,
            max_hosts: 10_000,
            list_links: false,
            key: 0,
        }
    }
}
