//! Time spans on a command line.

use std::fmt;
use std::time::Duration;

/// A time span, or `None` for "off".
#[derive(Clone, Copy)]
pub struct Span(pub Option<Duration>);

/// Writes the span in the syntax that [`span`] parses.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(span) => humantime::format_duration(span).fmt(f),
        }
    }
}

/// Parses a span such as `250ms`, `30s` or `5m`, or `off`.
///
/// # Errors
///
/// Returns a message for the user if the text is not a span, or is a span of zero.
pub fn span(text: &str) -> Result<Span, String> {
    if text == "off" {
        return Ok(Span(None));
    }
    match humantime::parse_duration(text) {
        Ok(span) if !span.is_zero() => Ok(Span(Some(span))),
        Ok(_) => Err("the span must not be zero; use \"off\" for no limit".to_owned()),
        Err(error) => Err(format!("{error}; use a span such as 250ms, 30s or 5m, or \"off\"")),
    }
}
