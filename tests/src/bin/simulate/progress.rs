//! How far a long run is, on stderr: a bar on a terminal, and else a line now and then.

use std::io::{Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Between two looks at how far it is, where that is drawn, and where it is written.
const DRAWN: Duration = Duration::from_millis(100);
const WRITTEN: Duration = Duration::from_secs(10);

/// What is shown.
pub(crate) struct Progress {
    bar: ProgressBar,
    unit: &'static str,
}

impl Progress {
    /// Of so many `unit`.
    pub(crate) fn new(len: u64, unit: &'static str) -> Self {
        let style = ProgressStyle::with_template("{pos}/{len} {prefix} {wide_bar} {msg}, {eta} left");
        let bar = ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar: bar.with_prefix(unit), unit }
    }

    /// Shows, while `act` runs, what `look` says: how many, and what else there is to say.
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

    /// Says a line that stays.
    pub(crate) fn tell(&self, line: &str) {
        // Nobody may read it.
        self.bar.suspend(|| writeln!(stderr(), "simulate: {line}").ok());
    }
}
