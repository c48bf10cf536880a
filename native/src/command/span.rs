//! Spans of time on a command line.

use std::time::Duration;

/// A span of time, or none.
#[derive(Clone, Copy)]
pub struct Span(pub Option<Duration>);

/// Reads a span such as `250ms`, `30s` or `5m`, or `off`.
///
/// # Errors
///
/// What is wrong with it, for the user.
pub fn span(text: &str) -> Result<Span, String> {
    if text == "off" {
        return Ok(Span(None));
    }
    match humantime::parse_duration(text) {
        Ok(span) if !span.is_zero() => Ok(Span(Some(span))),
        Ok(_) => Err("a span of nothing; say \"off\" for no limit".to_owned()),
        Err(error) => Err(format!("{error}; say 250ms, 30s, 5m or \"off\"")),
    }
}
