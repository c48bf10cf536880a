//! Text out of parts.

use alloc::string::String;

/// The parts, one behind the other.
#[must_use]
pub fn sentence(parts: &[&str]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        text.push_str(part);
    }
    text
}

/// Says that `value` is none for `option`, and what would be.
#[cold]
pub(crate) fn refused(option: &str, value: &str, allowed: &str) -> String {
    sentence(&[option, " ", value, ": it takes ", allowed])
}
