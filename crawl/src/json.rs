//! Reports as JSON, for programs (with the feature `json`).

use std::time::Duration;

use serde::Serialize;

use crate::report::{Error, Report};

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
pub fn json(report: &Report, lists_links: bool, to: &mut Vec<u8>) {
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
