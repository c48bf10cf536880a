//! The report of a panic: in the standard library's words, but as a line of the log. A stalled reader of stderr must
//! not block the process, in particular not during a panic that is caught. A client whose requests make jobs panic must
//! not fill a disk.

use std::backtrace::Backtrace;
use std::fmt::{self, Display};
use std::panic::set_hook;
use std::thread;

use crate::{log, variable};

/// Installs a panic hook that logs each panic of this process.
pub(crate) fn report() {
    set_hook(Box::new(|info| {
        let Some(place) = info.location() else { return };
        let thread = thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let said = info.payload_as_str().unwrap_or("with a value that is no text");
        let wants_stack = variable("RUST_BACKTRACE").is_some_and(|value| value != "0");
        let stack: Option<&dyn Display> = if wants_stack { Some(&Stack) } else { None };
        let what = format_args!("thread '{name}' panicked at {place}: {said}");
        log::panicked((place.file().to_owned(), place.line()), what, stack);
    }));
}

/// The stack of the thread that formats this value. The stack is captured only then.
struct Stack;

impl Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Backtrace::force_capture().fmt(f)
    }
}
