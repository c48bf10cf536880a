//! The consequences of a response to a page, a sitemap or a check.

use std::borrow::Cow;
use std::time::Duration;

use url::Url;

use super::discover::Source;
use super::{Crawl, InFlight, MAX_SITEMAP_LINKS};
use crate::fetch::{Kind, Method};
use crate::frontier::Entry;
use crate::outcome::{Outcome, Response};
use crate::reading::{self, Content, LinkList, Page, Sitemap};
use crate::report::{Error, Report};
use crate::retry;

impl Crawl {
    /// Returns the report of a request, or `None` if it is repeated.
    pub(super) fn answer(&mut self, request: InFlight, outcome: Outcome<'_>) -> Option<Report> {
        let InFlight { host, entry, url, method } = request;
        let response = match outcome {
            Outcome::Failed(failure) if failure.kind.is_retried() && self.may_retry(&entry) => {
                let due = self.schedule.now().saturating_add(retry::backoff(&self.settings, entry.attempts));
                self.summary.retries += 1;
                self.schedule.push_retry(host, due, entry);
                return None;
            }
            Outcome::Failed(failure) => {
                return Some(Self::report(&entry, &url, Some(Error::Failed(failure))));
            }
            Outcome::Response(response) => response,
        };
        if is_overloaded(response.status) && self.may_retry(&entry) {
            // The server asks for a pause, not for a pause of this URL.
            let due = self.pause(host, &entry, &response);
            self.summary.retries += 1;
            self.schedule.push_retry(host, due, entry);
            return None;
        }
        if method == Method::Head && is_refusal_of_head(response.status) {
            self.schedule.push_front(host, Entry { is_get: true, ..entry });
            return None;
        }
        let mut report = Self::report(&entry, &url, None);
        describe(&mut report, &response);
        match response.status {
            301 | 302 | 303 | 307 | 308 => self.answer_redirect(&entry, &url, &response, &mut report),
            200..=299 => self.answer_body(&entry, &url, &response, &mut report),
            _ => {}
        }
        Some(report)
    }

    pub(super) fn may_retry(&self, entry: &Entry) -> bool {
        entry.attempts <= self.settings.retries
    }

    /// Pauses a host as its server asks. Returns the end of the pause.
    pub(super) fn pause(&mut self, host: usize, entry: &Entry, response: &Response<'_>) -> Duration {
        let asked = retry::retry_after(response).map(|time| time.min(self.settings.max_backoff));
        let pause = asked.unwrap_or_else(|| retry::backoff(&self.settings, entry.attempts));
        let due = self.schedule.now().saturating_add(pause);
        let host = self.schedule.host(host);
        host.not_before = host.not_before.max(due);
        due
    }

    fn answer_redirect(&mut self, entry: &Entry, url: &Url, response: &Response<'_>, report: &mut Report) {
        let followed = self.location(url, response.location).and_then(|target| {
            let followed = self.follow_redirect(entry, url, &target);
            report.redirect = Some(target);
            followed
        });
        report.error = followed.err();
    }

    fn answer_body(&mut self, entry: &Entry, url: &Url, response: &Response<'_>, report: &mut Report) {
        match (entry.kind, Content::of(response.content_type)) {
            (Kind::Page, Some(Content::Html)) => self.answer_page(entry, url, response, report),
            (Kind::Page, Some(Content::Css)) => {
                if let Some(text) = text(response) {
                    let links = reading::read_css(&text, self.settings.max_links);
                    report.links = self.follow(&links, &source(entry, url, url));
                }
            }
            // A user can name a sitemap. Other XML files are none.
            (Kind::Page, Some(Content::Xml)) if entry.depth == 0 => {
                let _ = self.answer_sitemap(entry, url, response, report);
            }
            (Kind::Sitemap, _) => report.error = self.answer_sitemap(entry, url, response, report).err(),
            (Kind::Page | Kind::Robots | Kind::Check, _) => {}
        }
    }

    fn answer_page(&mut self, entry: &Entry, url: &Url, response: &Response<'_>, report: &mut Report) {
        let Some(text) = text(response) else { return };
        let page = Page::read(&text, self.settings.max_links);
        report.title = page.title;
        let asks_header =
            || response.robots_tag.is_some_and(|tag| reading::is_nofollow(&String::from_utf8_lossy(tag)));
        if self.settings.robots && (page.is_nofollow || asks_header()) {
            self.summary.skipped.nofollow += page.links.iter().count() as u64;
            return;
        }
        let base = page.base.and_then(|base| url.join(&base).ok()).filter(|base| !base.cannot_be_a_base());
        // Each relative link would be at least as long, and to resolve a page of them would take minutes.
        if base.as_ref().is_some_and(|base| base.as_str().len() > self.settings.max_url_bytes) {
            self.summary.skipped.long += page.links.iter().count() as u64;
            return;
        }
        report.links = self.follow(&page.links, &source(entry, base.as_ref().unwrap_or(url), url));
    }

    fn answer_sitemap(
        &mut self,
        entry: &Entry,
        url: &Url,
        response: &Response<'_>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if response.body.starts_with(b"\x1f\x8b") {
            return Err(Error::Sitemap("a gzip file that was not decompressed".to_owned()));
        }
        let text = text(response).ok_or_else(|| Error::Sitemap("not a text".to_owned()))?;
        let sitemap = Sitemap::read(&text, MAX_SITEMAP_LINKS);
        report.links = self.follow(&sitemap.pages, &source(entry, url, url));
        self.follow_sitemaps(entry, url, &sitemap.sitemaps);
        match sitemap.error.filter(|_| !response.truncated) {
            Some(error) => Err(Error::Sitemap(error)),
            None => Ok(()),
        }
    }

    /// Queues the sitemaps of an index, as redirects in a row, so that indexes of indexes end.
    fn follow_sitemaps(&mut self, entry: &Entry, url: &Url, list: &LinkList) {
        if entry.hops as usize >= self.settings.max_redirects {
            self.summary.skipped.many += list.iter().count() as u64;
            return;
        }
        self.queue_sitemaps(url, list.iter(), entry.hops + 1);
    }
}

fn source<'a>(entry: &Entry, base: &'a Url, referrer: &'a Url) -> Source<'a> {
    Source { base, referrer, depth: entry.depth.saturating_add(1) }
}

fn text<'a>(response: &Response<'a>) -> Option<Cow<'a, str>> {
    reading::decode(response.body, response.content_type)
}

/// Fills in what a report says of a response.
pub(super) fn describe(report: &mut Report, response: &Response<'_>) {
    let is_printable = |byte: &&u8| (b' '..=b'~').contains(*byte);
    report.status = Some(response.status);
    report.content_type = response
        .content_type
        .map(|text| text.iter().filter(is_printable).take(200).map(|&byte| char::from(byte)).collect());
    report.bytes = response.received;
    // The body of a check is not of interest, however long it is.
    report.truncated = response.truncated && report.kind != Kind::Check;
    report.first_byte = response.first_byte;
    report.total = response.total;
}

/// Returns true if the server asks to send the request again later.
pub(super) fn is_overloaded(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Returns true if a server with this status for HEAD can have another one for GET.
fn is_refusal_of_head(status: u16) -> bool {
    status >= 400 && !matches!(status, 404 | 410) && !is_overloaded(status)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        Crawl, Failure, FailureKind, Kind, Method, Next, Outcome, Report, Response, Settings, parse_seed,
    };

    /// Returns a crawl after a page of this type, whose links are not fetched.
    fn crawl_after(content_type: Option<&[u8]>, body: &str) -> Crawl {
        let seed = parse_seed("a.example").expect("a URL");
        let mut crawl = Crawl::new(Settings { robots: false, ..Settings::new([seed]) });
        let Next::Fetch(fetch) = crawl.next(Duration::ZERO) else { panic!("the seed is fetched") };
        let response = Response { status: 200, content_type, body: body.as_bytes(), ..Response::default() };
        crawl.finished(fetch.id, Outcome::Response(response), Duration::ZERO).expect("a report");
        crawl
    }

    /// Resolving the links would copy 20 GB, so that the test would not end.
    #[test]
    fn a_base_that_is_too_long_for_a_url() {
        let links = "<a href=b>".repeat(20_000);
        let crawl = crawl_after(None, &format!("<base href='/{}/'>{links}", "a".repeat(1 << 20)));
        assert_eq!((crawl.summary().skipped.long, crawl.progress().queued), (20_000, 0));
        let crawl = crawl_after(None, &format!("<base href='/{}/'>{links}", "a".repeat(1000)));
        assert_eq!((crawl.summary().skipped.long, crawl.progress().queued), (0, 1));
    }

    #[test]
    fn a_sitemap_is_as_long_as_its_format_permits() {
        let pages: String = (0..50_001).map(|page| format!("<url><loc>/{page}</loc></url>")).collect();
        let crawl = crawl_after(Some(b"text/xml"), &format!("<urlset>{pages}</urlset>"));
        assert_eq!((crawl.progress().queued, crawl.summary().skipped.many), (50_000, 1));
    }

    /// Returns the report of a link to another site, whose server refuses HEAD and has `outcome` for GET.
    fn check(outcome: Outcome<'_>) -> Report {
        let seed = parse_seed("a.example").expect("a URL");
        let settings = Settings { robots: false, check_external: true, ..Settings::new([seed]) };
        let mut crawl = Crawl::new(settings);
        let mut send = |outcome| match crawl.next(Duration::ZERO) {
            Next::Fetch(fetch) => {
                (fetch.kind, fetch.method, crawl.finished(fetch.id, outcome, Duration::ZERO))
            }
            next => panic!("a request is sent, and not: {next:?}"),
        };
        let page = Response { status: 200, body: b"<a href=//b.example>", ..Response::default() };
        send(Outcome::Response(page));
        let refused = send(Outcome::Response(Response { status: 405, ..Response::default() }));
        assert_eq!(refused, (Kind::Check, Method::Head, None));
        let (kind, method, report) = send(outcome);
        assert_eq!((kind, method), (Kind::Check, Method::Get));
        report.expect("a report")
    }

    #[test]
    fn the_body_of_a_check_is_not_too_long() {
        let response = Response { status: 200, truncated: true, received: 10, ..Response::default() };
        let report = check(Outcome::Response(response));
        assert!(!report.truncated && !report.is_broken(), "{report:?}");
    }

    #[test]
    fn a_link_to_a_private_address_is_not_broken() {
        let failed = |kind| check(Outcome::Failed(Failure::new(kind, ""))).is_broken();
        assert_eq!((failed(FailureKind::Forbidden), failed(FailureKind::Tls)), (false, true));
    }
}
