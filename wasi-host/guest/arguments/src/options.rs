//! Options and their values, as they stand in the arguments.

use alloc::string::String;

use crate::sentence::sentence;

/// An option's name, and its value if that is written behind a `=`.
#[must_use]
pub fn split(argument: &str) -> (&str, Option<&str>) {
    argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)))
}

/// Calls `set` with each option and its value. Every option takes one.
///
/// # Errors
///
/// When an argument is none of the `known` options, when a value is missing, and what `set` finds.
pub fn each<'a>(
    arguments: &mut dyn Iterator<Item = &'a str>,
    known: &[&str],
    set: &mut dyn FnMut(&'a str, &'a str) -> Result<(), String>,
) -> Result<(), String> {
    while let Some(argument) = arguments.next() {
        let (option, value) = split(argument);
        if !known.contains(&option) {
            return Err(unknown(option, known));
        }
        let Some(value) = value.or_else(|| arguments.next()) else {
            return Err(sentence(&[option, ": its value is missing"]));
        };
        set(option, value)?;
    }
    Ok(())
}

#[cold]
fn unknown(option: &str, known: &[&str]) -> String {
    let mut text = sentence(&[option, " is not known; what there is:"]);
    for (index, name) in known.iter().enumerate() {
        text.push_str(if index == 0 { " " } else { ", " });
        text.push_str(name);
    }
    text
}
