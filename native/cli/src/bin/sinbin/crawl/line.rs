//! A line for each URL: as text for people, or as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use sinbin_crawl::{Error, Kind, Report};

/// A report as a JSON object.
#[derive(Serialize)]
struct Object<'a> {
    url: &'a str,
    kind: &'static str,
    status: Option<u16>,
    error: Option<String>,
    error_kind: Option<&'static str>,
    broken: bool,
    redirect: Option<&'a str>,
    content_type: Option<&'a str>,
    title: Option<&'a str>,
    bytes: u64,
    truncated: bool,
    first_byte_ms: f64,
    total_ms: f64,
    depth: u32,
    referrer: Option<&'a str>,
    attempts: u32,
    links: u32,
    new_links: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    listed_links: Option<Vec<&'a str>>,
}

/// Appends a report as a line of JSON. With `lists_links`, the object contains the links of the page.
pub(crate) fn json(report: &Report, lists_links: bool, to: &mut Vec<u8>) {
    let listed = || report.links.listed.iter().map(url::Url::as_str).collect();
    let object = Object {
        url: report.url.as_str(),
        kind: report.kind.name(),
        status: report.status,
        error: report.error.as_ref().map(ToString::to_string),
        error_kind: report.error.as_ref().map(Error::name),
        broken: report.is_broken(),
        redirect: report.redirect.as_ref().map(url::Url::as_str),
        content_type: report.content_type.as_deref(),
        title: report.title.as_deref(),
        bytes: report.bytes,
        truncated: report.truncated,
        first_byte_ms: millis(report.first_byte),
        total_ms: millis(report.total),
        depth: report.depth,
        referrer: report.referrer.as_ref().map(url::Url::as_str),
        attempts: report.attempts,
        links: report.links.found,
        new_links: report.links.new,
        listed_links: lists_links.then(listed),
    };
    // Writing to memory does not fail, and all keys are texts.
    serde_json::to_writer(&mut *to, &object).ok();
    to.push(b'\n');
}

/// Returns the span in milliseconds, to the microsecond.
fn millis(span: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "spans of years are exact to the microsecond")]
    let micros = span.as_micros() as f64;
    micros / 1000.0
}

/// Appends a report as a line of text: the status or `---`, the URL, the reason of a problem, and the page that led here.
pub(crate) fn text(report: &Report, to: &mut Vec<u8>) {
    let mut line = report.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
    // Writing to memory does not fail.
    let _ = write!(line, " {}", report.url);
    if let Some(redirect) = &report.redirect {
        let _ = write!(line, " -> {redirect}");
    }
    if let Some(error) = &report.error {
        let _ = write!(line, ": {error}");
        if let Some(host) = other_host(report) {
            let _ = write!(line, "; --follow-hosts {host} follows it");
        }
    } else if report.truncated {
        line.push_str(match report.kind {
            Kind::Page if !report.kind.reads(report.content_type.as_deref().map(str::as_bytes)) => {
                ": long or without an end, and not read to it"
            }
            Kind::Page | Kind::Check => ": larger than --max-page-size, and read up to it",
            Kind::Robots | Kind::Sitemap => ": larger than such a file may be, and read up to this limit",
        });
    }
    if let Some(referrer) = &report.referrer {
        let _ = write!(line, " (from {referrer})");
    }
    push_escaped(&line, to);
    to.push(b'\n');
}

/// Returns the host that a start URL leads to, if it is not followed: http://example.org/ often leads to
/// https://www.example.org/, and the crawl ends there.
fn other_host(report: &Report) -> Option<&str> {
    let redirect = report.redirect.as_ref().filter(|_| report.error == Some(Error::RedirectOutOfScope))?;
    let host = redirect.host_str()?;
    (report.depth == 0 && report.url.host_str() != Some(host)).then_some(host)
}

/// Appends a text in which control characters are escaped: a server determines a part of it.
fn push_escaped(text: &str, to: &mut Vec<u8>) {
    for letter in text.chars() {
        if letter.is_control() {
            to.extend(letter.escape_default().to_string().bytes());
        } else {
            to.extend(letter.encode_utf8(&mut [0; 4]).bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use sinbin_crawl::Links;

    use super::*;

    fn out_of_scope(from: &str, to: &str, depth: u32) -> String {
        let report = Report {
            url: from.parse().expect("a URL"),
            kind: Kind::Page,
            depth,
            referrer: None,
            attempts: 1,
            status: Some(301),
            content_type: None,
            title: None,
            bytes: 0,
            truncated: false,
            first_byte: Duration::ZERO,
            total: Duration::ZERO,
            links: Links::default(),
            redirect: Some(to.parse().expect("a URL")),
            error: Some(Error::RedirectOutOfScope),
        };
        let mut line = Vec::new();
        text(&report, &mut line);
        String::from_utf8(line).expect("a text")
    }

    #[test]
    fn a_start_url_that_leads_to_another_host_says_how_to_follow_it() {
        let (from, to) = ("http://a.example/", "https://www.a.example/");
        assert_eq!(
            out_of_scope(from, to, 0),
            format!("301 {from} -> {to}: redirect out of scope; --follow-hosts www.a.example follows it\n")
        );
        // Pages of any site lead to others, and a pattern can exclude a URL of the same host.
        for (to, depth) in [(to, 1), ("http://a.example/excluded", 0)] {
            assert_eq!(out_of_scope(from, to, depth), format!("301 {from} -> {to}: redirect out of scope\n"));
        }
    }
}
