//! The arguments of `sinbin crawl`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use hyper::header::HeaderValue;
use sinbin_cli::size::{Size, size_within};
use sinbin_cli::span::{Span, span};
use sinbin_crawl::{HostPattern, Pattern, Settings, parse_seed};

/// The maximum number of connections at a time.
const MAX_CONCURRENCY: i64 = 4096;

/// The limits of `--max-page-size`.
const LEAST_PAGE: Size = Size(1 << 10);
const LARGEST_PAGE: Size = Size::mebibytes(1 << 10);

#[derive(Args)]
pub(crate) struct CrawlArgs {
    /// URLs to begin with. Without a scheme, http is meant: `example.org` is http://example.org/.
    // Not parsed by clap, whose messages contain the value: it may have a password.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,

    /// Follow links to these hosts too: `example.org`, `example.org:8080`, `*.example.org`, or `*` for every host.
    /// Without this option, only links to the hosts of the start URLs are followed.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', help_heading = SCOPE)]
    follow_hosts: Vec<HostPattern>,
    /// Fetch only URLs that match one of these patterns. A pattern is a prefix, in which `*` stands for any characters;
    /// `$` at its end is the end of the URL. A pattern that begins with `/` or `*` is for the path and the query, any
    /// other for the whole URL: `/docs/`, `*.html$`, `http://example.org/a`.
    #[arg(long, value_name = "PATTERN", help_heading = SCOPE)]
    include: Vec<Pattern>,
    /// Do not fetch URLs that match one of these patterns.
    #[arg(long, value_name = "PATTERN", help_heading = SCOPE)]
    exclude: Vec<Pattern>,
    /// Check links to other hosts as well, by a request without a body. They are not followed.
    #[arg(long, help_heading = SCOPE)]
    check_external: bool,
    /// Fetch no pages that are more than N links away from the start URLs.
    #[arg(long, value_name = "N", help_heading = SCOPE)]
    max_depth: Option<u32>,
    /// End after N requests for pages.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..), help_heading = SCOPE)]
    max_pages: u64,

    /// Ignore robots.txt, and what pages and headers ask of robots.
    #[arg(long, help_heading = POLITENESS)]
    no_robots: bool,
    /// Do not read the sitemaps that robots.txt names.
    #[arg(long, help_heading = POLITENESS)]
    no_sitemaps: bool,
    /// Requests at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..=MAX_CONCURRENCY), help_heading = POLITENESS)]
    pub(crate) concurrency: u32,
    /// Requests at a time to one host.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=MAX_CONCURRENCY), help_heading = POLITENESS)]
    per_host: u32,
    /// Time between two requests to one host. A Crawl-delay of its robots.txt is obeyed as well, up to 30 s.
    #[arg(long, value_name = "TIME", default_value_t = Span(None), value_parser = span, help_heading = POLITENESS)]
    delay: Span,
    /// Attempts after a failure of the connection, or the status 429 or 503: after 1 s, 2 s, and so on, or when
    /// Retry-After says, but within a minute.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u32).range(..=100), help_heading = POLITENESS)]
    retries: u32,
    /// The User-Agent of the requests. Its first word is the name that is looked up in robots.txt.
    #[arg(long, value_name = "TEXT", help_heading = POLITENESS)]
    user_agent: Option<String>,

    /// Time for a connection: resolving the name, connecting, and the handshake of TLS.
    #[arg(long, value_name = "TIME", default_value_t = seconds(10), value_parser = span, help_heading = LIMITS)]
    pub(crate) connect_timeout: Span,
    /// Time until the first byte of a response, and between two pieces of a body.
    #[arg(long, value_name = "TIME", default_value_t = seconds(20), value_parser = span, help_heading = LIMITS)]
    pub(crate) read_timeout: Span,
    /// Time for an attempt as a whole.
    #[arg(long, value_name = "TIME", default_value_t = seconds(120), value_parser = span, help_heading = LIMITS)]
    pub(crate) timeout: Span,
    /// Bytes of a page that are read, after decompression. The rest of a larger page is ignored.
    #[arg(long, value_name = "SIZE", default_value_t = Size::mebibytes(16), value_parser = size_within(LEAST_PAGE..=LARGEST_PAGE), help_heading = LIMITS)]
    max_page_size: Size,
    /// URLs that the crawl remembers, some 20 bytes each. Further ones are not followed, and counted.
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = value_parser!(u32).range(1..), help_heading = LIMITS)]
    max_urls: u32,
    /// Memory for the URLs that are to be fetched. Further ones are not followed, and counted.
    #[arg(long, value_name = "SIZE", default_value_t = Size::mebibytes(256), value_parser = size_within(LEAST_PAGE..=Size::mebibytes(64 << 10)), help_heading = LIMITS)]
    max_queue_size: Size,
    /// Trust the authorities in this PEM file, besides those of the system.
    #[arg(long, value_name = "FILE", help_heading = LIMITS)]
    pub(crate) ca: Option<PathBuf>,

    /// Print a JSON object for each URL to stdout, and the summary to stderr. The objects are documented in the book.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// List the links of each page in its JSON object.
    #[arg(long, requires = "json", help_heading = OUTPUT)]
    pub(crate) list_links: bool,
    /// Print a line for each URL, and not only for those with a problem.
    #[arg(long, conflicts_with_all = ["json", "broken"], help_heading = OUTPUT)]
    pub(crate) all: bool,
    /// Be a link checker: report only broken links, and end with exit code 1 if there are any.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) broken: bool,
    /// Save the pages with status 200 below this directory: DIR/host/path.
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub(crate) save: Option<PathBuf>,
    /// Keep the state of the crawl in this file. If the file exists, continue: no page is fetched twice. Give its start
    /// URLs again; further ones can be added. The state is
    /// written once a minute, after Ctrl-C, and at the end.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) state: Option<PathBuf>,
}

const SCOPE: &str = "What is fetched";
const POLITENESS: &str = "How servers are treated";
const LIMITS: &str = "Limits and trust";
const OUTPUT: &str = "Results";

const fn seconds(count: u64) -> Span {
    Span(Some(Duration::from_secs(count)))
}

impl CrawlArgs {
    /// Returns the settings of the crawl, and the value of the header that names its user agent.
    ///
    /// # Errors
    ///
    /// Fails with a message if a start URL is none, or if the user agent is no value of a header.
    pub(crate) fn settings(&self) -> Result<(Settings, HeaderValue), String> {
        let seeds = self.urls.iter().map(|text| parse_seed(text)).collect::<Result<Vec<_>, _>>();
        let mut settings = Settings::new(seeds.map_err(|error| error.to_string())?);
        settings.follow_hosts.clone_from(&self.follow_hosts);
        settings.include.clone_from(&self.include);
        settings.exclude.clone_from(&self.exclude);
        settings.check_external = self.check_external;
        settings.max_depth = self.max_depth;
        settings.max_pages = self.max_pages;
        settings.robots = !self.no_robots;
        settings.sitemaps = !self.no_sitemaps;
        settings.concurrency = self.concurrency as usize;
        settings.per_host = self.per_host as usize;
        settings.delay = self.delay.0.unwrap_or_default();
        settings.retries = self.retries;
        settings.max_page_bytes = self.max_page_size.bytes();
        settings.max_frontier = self.max_urls as usize;
        settings.max_queue_bytes = self.max_queue_size.bytes();
        settings.list_links = self.list_links;
        settings.key = random_key();
        if let Some(user_agent) = &self.user_agent {
            settings.user_agent.clone_from(user_agent);
        }
        let user_agent = HeaderValue::from_str(&settings.user_agent);
        let user_agent = user_agent.map_err(|_| "--user-agent: it has a control character".to_owned())?;
        Ok((settings, user_agent))
    }
}

/// Returns a key that no site can guess.
fn random_key() -> u128 {
    use std::hash::{BuildHasher, RandomState};

    // The standard library has no other source of random bits.
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}
