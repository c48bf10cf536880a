//! The counters of a crawl.

use std::collections::BTreeMap;

use crate::report::Report;

/// The counters of a crawl, from its beginning, over all its runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of pages that were fetched, with or without success.
    pub pages: u64,
    /// The number of seeds that had a response, of any status.
    pub reached: u64,
    /// The number of URLs that were checked.
    pub checks: u64,
    /// The number of robots.txt files and sitemaps that were fetched.
    pub others: u64,
    /// The number of responses by the hundreds of their status: the first is for 1xx, the last for 6xx and all others.
    pub statuses: [u64; 6],
    /// The number of errors by [their name](crate::Error::name).
    pub errors: BTreeMap<String, u64>,
    /// The number of reports of [broken](crate::Report::is_broken) links.
    pub broken: u64,
    /// The number of attempts that were repeated.
    pub retries: u64,
    /// The number of bytes of bodies that were received.
    pub bytes: u64,
    /// The number of bodies that exceed the limit.
    pub truncated: u64,
    /// The number of links with http or https, also to known URLs.
    pub links: u64,
    /// The links that were not followed, by reason.
    pub skipped: Skipped,
}

/// The numbers of links that were not followed, by reason. Links are counted, not URLs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Links to hosts that the crawl does not follow.
    pub external: u64,
    /// Links that no pattern includes, or that a pattern excludes.
    pub patterns: u64,
    /// Links farther from the seeds than [`Settings::max_depth`](crate::Settings::max_depth).
    pub depth: u64,
    /// Links to private addresses that no setting names.
    pub private: u64,
    /// Links longer than [`Settings::max_url_bytes`](crate::Settings::max_url_bytes).
    pub long: u64,
    /// Links after the first [`Settings::max_links`](crate::Settings::max_links) of a page, and beyond the
    /// limit of a sitemap.
    pub many: u64,
    /// Links that are no valid URL.
    pub invalid: u64,
    /// Links on pages that ask robots not to follow them.
    pub nofollow: u64,
    /// URLs refused because the frontier, its memory, or the table of hosts is full.
    pub full: u64,
    /// Links whose user name or password was removed. These are followed without.
    pub credentials: u64,
}

impl Summary {
    /// Returns the number of errors of all kinds.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Counts `report`.
    pub(crate) fn count(&mut self, report: &Report) {
        use crate::fetch::Kind;

        let fetched = u64::from(report.attempts > 0);
        match report.kind {
            Kind::Page => self.pages += fetched,
            Kind::Check => self.checks += fetched,
            Kind::Robots | Kind::Sitemap => self.others += fetched,
        }
        let is_seed = report.kind == Kind::Page && report.referrer.is_none();
        self.reached += u64::from(is_seed && report.status.is_some());
        if let Some(status) = report.status {
            let class = usize::from(status / 100).clamp(1, self.statuses.len());
            self.statuses[class - 1] += 1;
        }
        if let Some(error) = &report.error {
            *self.errors.entry(error.name().to_owned()).or_default() += 1;
        }
        self.broken += u64::from(report.is_broken());
        self.bytes += report.bytes;
        self.truncated += u64::from(report.truncated);
        self.links += u64::from(report.links.found);
    }
}

/// The present state of a crawl, for a line that is updated while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of pages, and of URLs that were only checked, that are done.
    pub done: u64,
    /// The number of requests in flight.
    pub in_flight: usize,
    /// The number of URLs to fetch.
    pub queued: usize,
    /// The number of URLs that the crawl remembers.
    pub seen: usize,
    /// The number of hosts, each with its port.
    pub hosts: usize,
    /// The number of errors.
    pub errors: u64,
    /// The number of broken links.
    pub broken: u64,
    /// The number of bytes of bodies that were received.
    pub bytes: u64,
}
