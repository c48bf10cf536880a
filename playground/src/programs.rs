//! The programs that the page shows, one per file. A mark `//@ FUNCTION.WAIT` at the end of a line says which wait of
//! which task is there; [`code`](crate::code) removes the marks.

pub(crate) mod countdown;
pub(crate) mod deadlock;
pub(crate) mod echo;
pub(crate) mod fib_in_task;
pub(crate) mod fib_job;
pub(crate) mod ordered;
pub(crate) mod sleepers;
pub(crate) mod tickets;
pub(crate) mod tickets_locked;

use std::error::Error;

/// Parses a request, like the talk's `int(request)`.
fn number(request: &[u8]) -> Result<u32, Box<dyn Error>> {
    Ok(str::from_utf8(request)?.trim().parse()?)
}
