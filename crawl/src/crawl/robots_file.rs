//! The robots.txt of each host: when it is fetched, and what its response means (RFC 9309, 2.3.1).

use std::time::Duration;

use url::Url;

use super::answer::{describe, is_overloaded};
use super::{Crawl, InFlight};
use crate::fetch::Kind;
use crate::frontier::{Entry, RobotsFile};
use crate::outcome::{Failure, Outcome, Response};
use crate::reading::{Robots, product_token};
use crate::report::{Error, Report};
use crate::retry;
use crate::scope::Place;
use crate::target;

/// The number of redirects of a robots.txt that are followed (RFC 9309, 2.3.1.2).
const MAX_REDIRECTS: u32 = 5;

/// The memory for the rules of all hosts, in bytes.
const MAX_RULES: usize = 64 << 20;

impl Crawl {
    /// Returns the request for the robots.txt of a host, if it comes before the host's other requests.
    pub(super) fn due_robots_file(&mut self, at: usize) -> Option<Entry> {
        let now = self.schedule.now();
        let host = self.schedule.host(at);
        match &host.robots {
            _ if !self.settings.robots || host.len() == 0 => None,
            RobotsFile::Unknown => {
                Some(Entry::new(format!("{}/robots.txt", host.origin), Kind::Robots, 0, None))
            }
            RobotsFile::Due(due, entry) if *due <= now => Some((**entry).clone()),
            RobotsFile::Due(..) | RobotsFile::Pending | RobotsFile::Known(_) | RobotsFile::Unreachable(_) => {
                None
            }
        }
    }

    /// Learns a robots.txt. Returns the report of the request, or `None` if it is repeated.
    pub(super) fn answer_robots_file(&mut self, request: InFlight, outcome: Outcome<'_>) -> Option<Report> {
        let InFlight { host, entry, url, .. } = request;
        let repeated_at = match &outcome {
            _ if !self.may_retry(&entry) => None,
            Outcome::Failed(failure) if failure.kind.is_retried() => {
                Some(self.schedule.now().saturating_add(retry::backoff(&self.settings, entry.attempts)))
            }
            Outcome::Response(response) if is_overloaded(response.status) => {
                Some(self.pause(host, &entry, response))
            }
            Outcome::Failed(_) | Outcome::Response(_) => None,
        };
        if let Some(due) = repeated_at {
            self.summary.retries += 1;
            self.schedule.host(host).robots = RobotsFile::Due(due, Box::new(entry));
            return None;
        }
        let mut report = Self::report(&entry, &url, None);
        let mut robots = match outcome {
            Outcome::Failed(failure) => {
                report.error = Some(Error::Failed(failure.clone()));
                // The host is not reachable, which is the end of its pages too.
                let text = format!("robots.txt: {failure}");
                RobotsFile::Unreachable(Error::Failed(Failure { text, ..failure }))
            }
            Outcome::Response(response) => {
                describe(&mut report, &response);
                self.robots_of(&entry, &url, &response, &mut report)
            }
        };
        if let RobotsFile::Known(robots) = &mut robots {
            // Taken, because these are not part of the limit on the memory of rules.
            let sitemaps = std::mem::take(&mut robots.sitemaps);
            if self.settings.sitemaps && self.settings.max_depth != Some(0) {
                self.queue_sitemaps(&url, sitemaps.iter().map(String::as_str), 0);
            }
        }
        self.schedule.host(host).robots = robots;
        let next = self.schedule.now().saturating_add(self.delay(host));
        let host = self.schedule.host(host);
        host.not_before = host.not_before.max(next);
        Some(report)
    }

    fn robots_of(
        &mut self,
        entry: &Entry,
        url: &Url,
        response: &Response<'_>,
        report: &mut Report,
    ) -> RobotsFile {
        match response.status {
            200..=299 => {
                self.keep_rules(Robots::read(response.body, product_token(&self.settings.user_agent)))
            }
            300..=399 => self.robots_after_redirect(entry, url, response, report),
            // The status 429 asks for fewer requests, so it does not allow them all.
            400..=499 if response.status != 429 => RobotsFile::Known(Robots::default()),
            status => RobotsFile::Unreachable(Error::RobotsUnreachable(format!("status {status}"))),
        }
    }

    /// Keeps the rules of a host, unless those of all hosts are too large. Hosts without work lose theirs first, and get
    /// them again if needed.
    fn keep_rules(&mut self, robots: Robots) -> RobotsFile {
        let mut total =
            robots.bytes + self.schedule.hosts().iter().map(|host| host.robots.bytes()).sum::<usize>();
        if total > MAX_RULES {
            total -= self.schedule.forget_rules();
        }
        match total > MAX_RULES {
            true => {
                let reason = format!("the rules of all hosts exceed {MAX_RULES} bytes");
                RobotsFile::Unreachable(Error::RobotsUnreachable(reason))
            }
            false => RobotsFile::Known(robots),
        }
    }

    /// Follows a redirect also to another host. A redirect that leads nowhere means that there is no robots.txt.
    fn robots_after_redirect(
        &mut self,
        entry: &Entry,
        url: &Url,
        response: &Response<'_>,
        report: &mut Report,
    ) -> RobotsFile {
        match self.location(url, response.location) {
            Ok(target) => {
                report.redirect = Some(target.clone());
                if entry.hops < MAX_REDIRECTS {
                    let referrer = Some(url.as_str().to_owned());
                    let next = Entry::new(target.as_str().to_owned(), Kind::Robots, 0, referrer);
                    return RobotsFile::Due(Duration::ZERO, Box::new(Entry { hops: entry.hops + 1, ..next }));
                }
                report.error = Some(Error::TooManyRedirects(MAX_REDIRECTS as usize));
            }
            Err(error) => report.error = Some(error),
        }
        RobotsFile::Known(Robots::default())
    }

    /// Queues sitemaps that are in scope.
    pub(super) fn queue_sitemaps<'a>(
        &mut self,
        base: &Url,
        sitemaps: impl Iterator<Item = &'a str>,
        hops: u32,
    ) {
        for sitemap in sitemaps {
            let Ok(target) = target::resolve(base, sitemap) else { continue };
            let is_long = target.url.as_str().len() > self.settings.max_url_bytes;
            if is_long || self.scope.place(&target.url) != Place::Inside {
                self.summary.skipped.external += 1;
                continue;
            }
            if let Some(at) = self.admit(&target.url) {
                let referrer = Some(base.as_str().to_owned());
                let entry = Entry::new(target.url.as_str().to_owned(), Kind::Sitemap, 0, referrer);
                self.schedule.push_back(at, &Entry { hops, ..entry });
            }
        }
    }
}
