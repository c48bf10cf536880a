//! The settings of the shipped services, parsed from the arguments of a guest.
//!
//! The options are those of `sinbin serve`, written as `--option VALUE` or `--option=VALUE`. If an option is given
//! twice, the last value counts. An error is a message for the user.
//!
//! This crate does not use `core::fmt`, and does not parse floats: a guest has to be small, and that code alone would
//! be larger than a guest.
//!
//! ```
//! let fib = sinbin_arguments::fib(["--max-n", "30"].into_iter()).unwrap();
//! assert_eq!(fib.rules.max_n, 30);
//! let error = sinbin_arguments::echo(["--max-n=30"].into_iter()).unwrap_err();
//! assert_eq!(error, "--max-n is not a known option; the options are: --idle-timeout, --reply-timeout");
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod options;
mod sentence;
mod spans;
mod values;

use alloc::string::String;
use core::time::Duration;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_service::Fib;

pub use options::{each, split};
pub use sentence::sentence;
pub use values::{number, span};

/// The options of [`fib`].
pub const FIB: &[&str] = &[
    "--max-n",
    "--loop-n",
    "--max-line",
    "--framing",
    JOB_TIMEOUT,
    REQUEST_TIMEOUT,
    IDLE_TIMEOUT,
    REPLY_TIMEOUT,
];

/// The options of [`echo`] and [`upper`].
pub const ANSWER: &[&str] = &[IDLE_TIMEOUT, REPLY_TIMEOUT];

const REQUEST_TIMEOUT: &str = "--request-timeout";
const IDLE_TIMEOUT: &str = "--idle-timeout";
const REPLY_TIMEOUT: &str = "--reply-timeout";
const JOB_TIMEOUT: &str = "--job-timeout";

/// The default of `--idle-timeout`.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// The default of `--job-timeout`.
const JOB: Duration = Duration::from_secs(60);

/// The default of `--request-timeout`.
const REQUEST: Duration = Duration::from_secs(30);

/// The default of `--reply-timeout`.
const REPLY: Duration = Duration::from_secs(60);

/// Creates the Fibonacci service that `arguments` describe.
///
/// # Errors
///
/// Returns a message that names the option, its wrong value and the allowed values.
pub fn fib<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Fib, String> {
    let mut fib = Fib {
        idle_timeout: Some(IDLE),
        job_timeout: Some(JOB),
        request_timeout: Some(REQUEST),
        reply_timeout: Some(REPLY),
        ..Fib::default()
    };
    each(&mut arguments, FIB, &mut |option, value| set_fib(&mut fib, option, value))?;
    Ok(fib)
}

/// Creates the echo service that `arguments` describe.
///
/// # Errors
///
/// Returns a message that names the option, its wrong value and the allowed values.
pub fn echo<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Echo, String> {
    let (idle_timeout, reply_timeout) = timeouts(&mut arguments)?;
    Ok(Echo { idle_timeout, reply_timeout })
}

/// Creates the upper-case service that `arguments` describe.
///
/// # Errors
///
/// Returns a message that names the option, its wrong value and the allowed values.
pub fn upper<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Upper, String> {
    let (idle_timeout, reply_timeout) = timeouts(&mut arguments)?;
    Ok(Upper { idle_timeout, reply_timeout })
}

fn set_fib(fib: &mut Fib, option: &str, value: &str) -> Result<(), String> {
    match option {
        "--max-n" => fib.rules.max_n = number(option, value, 0..=93, "0 to 93")?,
        "--loop-n" => fib.loop_n = number(option, value, 0..=25, "0 to 25")?,
        "--max-line" => fib.rules.max_line = values::short(option, value)?,
        "--framing" => fib.rules.framing = values::framing(option, value)?,
        JOB_TIMEOUT => fib.job_timeout = span(option, value)?,
        REQUEST_TIMEOUT => fib.request_timeout = span(option, value)?,
        REPLY_TIMEOUT => fib.reply_timeout = span(option, value)?,
        _ => fib.idle_timeout = span(option, value)?,
    }
    Ok(())
}

/// Parses the idle timeout and the reply timeout.
fn timeouts(
    arguments: &mut dyn Iterator<Item = &str>,
) -> Result<(Option<Duration>, Option<Duration>), String> {
    let (mut idle, mut reply) = (Some(IDLE), Some(REPLY));
    each(arguments, ANSWER, &mut |option, value| {
        let timeout = if option == REPLY_TIMEOUT { &mut reply } else { &mut idle };
        *timeout = span(option, value)?;
        Ok(())
    })?;
    Ok((idle, reply))
}

#[cfg(test)]
mod tests;
