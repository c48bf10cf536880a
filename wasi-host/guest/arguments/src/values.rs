//! The parsing of options' values.

use alloc::string::String;
use core::ops::RangeInclusive;
use core::time::Duration;

use sinbin_core::fib_protocol::Framing;

use crate::sentence::refused;
use crate::spans;

/// Parses a number within the range `allowed`, which `spoken` describes in words.
///
/// # Errors
///
/// Returns a message if the text is not a number, or if the number is out of range.
pub fn number(option: &str, text: &str, allowed: RangeInclusive<u32>, spoken: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| refused(option, text, spoken))
}

/// Parses a time span, or `None` from "off".
///
/// # Errors
///
/// Returns a message if the text is not a span, or is a span of zero.
pub fn span(option: &str, text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let span = spans::read(text).filter(|span| !span.is_zero());
    span.map(Some).ok_or_else(|| refused(option, text, "a span such as 250ms, 30s, 5m or 1h, or off"))
}

/// Parses a length from 1 to 65535.
pub(crate) fn short(option: &str, text: &str) -> Result<u16, String> {
    let length = text.parse().ok().filter(|length| *length > 0);
    length.ok_or_else(|| refused(option, text, "1 to 65535"))
}

/// Parses a way to split the received bytes into requests.
pub(crate) fn framing(option: &str, text: &str) -> Result<Framing, String> {
    match text {
        "auto" => Ok(Framing::Auto),
        "lines" => Ok(Framing::Lines),
        "bare" => Ok(Framing::Bare),
        _ => Err(refused(option, text, "auto, lines or bare")),
    }
}
