//! Errors that know which functions were being called when they occurred.

use std::backtrace::Backtrace;
use std::fmt::{self, Display};

/// The error of a fetch, with the stack at the moment when it occurred.
pub struct Error {
    text: String,
    stack: Backtrace,
}

impl Error {
    /// Creates an error. The stack is recorded here, and its functions are looked up by [`calls`](Self::calls).
    pub fn new(text: impl Display) -> Self {
        Self { text: text.to_string(), stack: Backtrace::force_capture() }
    }
}

/// Converts errors of other crates, so that `?` records the function that it is in.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Error {
    /// Returns the functions of the crawler that were being called, the innermost first, down to the loop or the thread
    /// that called them.
    pub fn calls(&self) -> String {
        let stack = self.stack.to_string();
        let mut calls: Vec<String> = Vec::new();
        for (_, symbol) in stack.lines().filter_map(|line| line.trim_start().split_once(": ")) {
            let path = symbol.trim_start_matches('<');
            let is_thread = path.starts_with("std::thread") || path.starts_with("std[");
            let is_loop =
                ["sinbin", "crawl::event_loop", "crawl::selector"].iter().any(|it| path.starts_with(it));
            if is_thread || is_loop && !calls.is_empty() {
                calls.push(if is_thread { "thread" } else { "loop" }.to_owned());
                break;
            }
            calls.extend(function(symbol).filter(|name| calls.last() != Some(name)));
        }
        if calls.is_empty() { "an optimized build has no names".to_owned() } else { calls.join(" < ") }
    }
}

/// Returns the name of a function of a crawler, such as `fetch`. Returns `None` for other functions, and for closures,
/// which only call one of the functions.
fn function(symbol: &str) -> Option<String> {
    // crawl::future::Task<C,D>::step, <crawl::future::Fetch as crawl::future::Coroutine>::send,
    // crawl::callbacks::Fetcher::connected::{{closure}}, crawl::async_fn::fetch::{{closure}}
    let (module, _) = symbol.trim_start_matches('<').strip_prefix("crawl::")?.split_once("::")?;
    let (symbol, is_closure) =
        symbol.split_once("::{").map_or((symbol, false), |(function, _)| (function, true));
    // The compiler makes a closure of each `async fn`.
    if module == "error" || is_closure && module != "async_fn" {
        return None;
    }
    let (of, name) = symbol.rsplit_once("::")?;
    // All coroutines have a function of this name.
    if name != "send" {
        return Some(name.to_owned());
    }
    let of = of.trim_start_matches('<').split([' ', '<', '>']).next()?;
    Some(format!("{}::send", of.rsplit("::").next()?))
}
