//! The concatenation of messages, without `core::fmt`.

use alloc::string::String;

/// Returns the concatenation of the parts.
#[must_use]
pub fn sentence(parts: &[&str]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        text.push_str(part);
    }
    text
}

/// Returns the message for a wrong value of an option.
#[cold]
pub(crate) fn refused(option: &str, value: &str, allowed: &str) -> String {
    sentence(&[option, " ", value, ": expected ", allowed])
}
