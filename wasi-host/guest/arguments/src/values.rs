//! What an option's value says.

use alloc::string::String;
use core::ops::RangeInclusive;
use core::time::Duration;

use sinbin_core::fib_protocol::Framing;

use crate::sentence::refused;
use crate::spans;

/// The number that `text` says, within `allowed`, which `spoken` puts in words.
///
/// # Errors
///
/// When it is none, or out of bounds.
pub fn number(option: &str, text: &str, allowed: RangeInclusive<u32>, spoken: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| refused(option, text, spoken))
}

/// The span of time that `text` says: none if that is "off".
///
/// # Errors
///
/// When it is no span, or one of nothing.
pub fn span(option: &str, text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let span = spans::read(text).filter(|span| !span.is_zero());
    span.map(Some).ok_or_else(|| refused(option, text, "250ms, 30s, 5m, 1h and the like, or off"))
}

/// A length that fits 16 bits, and is one.
pub(crate) fn short(option: &str, text: &str) -> Result<u16, String> {
    let length = text.parse().ok().filter(|length| *length > 0);
    length.ok_or_else(|| refused(option, text, "1 to 65535"))
}

/// How requests are told apart.
pub(crate) fn framing(option: &str, text: &str) -> Result<Framing, String> {
    match text {
        "auto" => Ok(Framing::Auto),
        "lines" => Ok(Framing::Lines),
        "bare" => Ok(Framing::Bare),
        _ => Err(refused(option, text, "auto, lines or bare")),
    }
}
