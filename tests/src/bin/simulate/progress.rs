//! Progress of a long run on stderr: a bar on a terminal, otherwise a line at intervals.

use std::io::{Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The interval between two updates: of the bar, and of the lines.
const DRAWN: Duration = Duration::from_millis(100);
const WRITTEN: Duration = Duration::from_secs(10);

/// A progress display.
pub(crate) struct Progress {
    bar: ProgressBar,
    unit: &'static str,
}

impl Progress {
    /// Creates a display for `len` units of the name `unit`.
    pub(crate) fn new(len: u64, unit: &'static str) -> Self {
        let style = ProgressStyle::with_template("{pos}/{len} {prefix} {wide_bar} {msg}, {eta} left");
        let bar = ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar: bar.with_prefix(unit), unit }
    }

    /// Runs `act`, and meanwhile shows what `look` returns: the number of finished units, and a further message.
    pub(crate) fn during<R>(&self, look: impl Fn() -> (u64, String) + Sync, act: impl FnOnce() -> R) -> R {
        let ended = thread::scope(|scope| {
            let (running, end) = channel::<()>();
            let look = &look;
            scope.spawn(move || {
                let pause = if self.bar.is_hidden() { WRITTEN } else { DRAWN };
                while end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    let (count, more) = look();
                    self.show(count, more);
                }
            });
            let ended = act();
            drop(running);
            ended
        });
        self.bar.finish_and_clear();
        ended
    }

    fn show(&self, count: u64, more: String) {
        let len = self.bar.length().unwrap_or(count);
        let count = count.min(len);
        if self.bar.is_hidden() {
            let elapsed = self.bar.elapsed().as_secs();
            self.tell(&format!("{count} of {len} {} in {elapsed} s, {more}", self.unit));
        } else {
            self.bar.set_message(more);
            self.bar.set_position(count);
        }
    }

    /// Prints a line that stays above the bar.
    pub(crate) fn tell(&self, line: &str) {
        // Stderr may be closed.
        self.bar.suspend(|| writeln!(stderr(), "simulate: {line}").ok());
    }
}
