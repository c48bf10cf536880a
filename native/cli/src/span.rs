//! Spans of time on a command line.

use std::fmt;
use std::time::Duration;

/// A span of time, or none.
#[derive(Clone, Copy)]
pub struct Span(pub Option<Duration>);

/// Writes the span as [`span`] reads it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(span) => humantime::format_duration(span).fmt(f),
        }
    }
}

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
