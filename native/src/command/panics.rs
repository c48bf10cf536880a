//! The report of a panic: in the standard library's words, but by the stream that never waits. A stalled reader of
//! stderr must not stop the process, least of all in the middle of a panic that is caught.

use std::backtrace::Backtrace;
use std::panic::{PanicHookInfo, set_hook};
use std::thread;

use crate::command::stream::ERR;
use crate::command::variable;

/// Has panics of this process reported so.
pub(crate) fn report() {
    set_hook(Box::new(|info| {
        ERR.offer(text(info).as_bytes()).ok();
    }));
}

fn text(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let mut text = format!("\nthread '{name}' {info}\n");
    if variable("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        text.push_str(&format!("stack backtrace:\n{}", Backtrace::force_capture()));
    }
    text
}
