//! A line of text for each URL.

use std::fmt::Write as _;

use sinbin_crawl::{Error, Kind, Report};

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
    use std::time::Duration;

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
