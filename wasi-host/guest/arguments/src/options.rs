//! The splitting of arguments into options and their values.

use alloc::string::String;

use crate::sentence::sentence;

/// Returns an option's name, and its value if it follows a `=`.
#[must_use]
pub fn split(argument: &str) -> (&str, Option<&str>) {
    argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)))
}

/// Calls `set` with each option and its value. Every option has a value.
///
/// # Errors
///
/// Fails if an argument is not one of the `known` options, if a value is missing, or if `set` fails.
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
            return Err(sentence(&[option, ": missing value"]));
        };
        set(option, value)?;
    }
    Ok(())
}

#[cold]
fn unknown(option: &str, known: &[&str]) -> String {
    let mut text = sentence(&[option, " is not a known option; the options are:"]);
    for (index, name) in known.iter().enumerate() {
        text.push_str(if index == 0 { " " } else { ", " });
        text.push_str(name);
    }
    text
}
