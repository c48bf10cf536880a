//! The settings of the shipped services, from the arguments that a guest was started with.
//!
//! Options are those of `sinbin serve`, written as `--option VALUE` or `--option=VALUE`; of one that is given
//! twice, the last counts. An error is a sentence for whoever wrote the arguments.
//!
//! Nothing here formats or reads floats: a guest is to be small, and that machinery alone is larger than one.
//!
//! ```
//! let fib = sinbin_arguments::fib(["--max-n", "30"].into_iter()).unwrap();
//! assert_eq!(fib.rules.max_n, 30);
//! let error = sinbin_arguments::echo(["--max-n=30"].into_iter()).unwrap_err();
//! assert_eq!(error, "--max-n is not known; what there is: --idle-timeout, --reply-timeout");
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

/// What [`fib`] knows.
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

/// What [`echo`] and [`upper`] know.
pub const ANSWER: &[&str] = &[IDLE_TIMEOUT, REPLY_TIMEOUT];

const REQUEST_TIMEOUT: &str = "--request-timeout";
const IDLE_TIMEOUT: &str = "--idle-timeout";
const REPLY_TIMEOUT: &str = "--reply-timeout";
const JOB_TIMEOUT: &str = "--job-timeout";

/// How long a connection may be silent, unless the arguments say otherwise.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// How long a job may take, unless the arguments say otherwise.
const JOB: Duration = Duration::from_secs(60);

/// How long a request may take, from its first byte to its last.
const REQUEST: Duration = Duration::from_secs(30);

/// How long a client may take for what it is sent.
const REPLY: Duration = Duration::from_secs(60);

/// The Fibonacci service that `arguments` ask for.
///
/// # Errors
///
/// A sentence that names the option, what is wrong with it and what is allowed.
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

/// The echo service that `arguments` ask for.
///
/// # Errors
///
/// A sentence that names the option, what is wrong with it and what is allowed.
pub fn echo<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Result<Echo, String> {
    let (idle_timeout, reply_timeout) = timeouts(&mut arguments)?;
    Ok(Echo { idle_timeout, reply_timeout })
}

/// The upper-case service that `arguments` ask for.
///
/// # Errors
///
/// A sentence that names the option, what is wrong with it and what is allowed.
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

/// The timeouts of silence and of answers.
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
