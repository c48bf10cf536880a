//! The results of a measurement, and their output.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use sinbin_cli::output;

/// The results of one kind of client.
pub(crate) struct Stats {
    /// The times of the requests, in nanoseconds.
    times: Histogram<u64>,
    /// The first problem, if any.
    pub(crate) trouble: Option<String>,
    /// The number of requests that were sent and not answered.
    pub(crate) unanswered: u64,
    /// The number of connections on which no reply arrived.
    pub(crate) silent: u64,
    /// The number of unexpected replies.
    pub(crate) surplus: u64,
    /// The number of recorded times, for the [`Ticker`] on another thread.
    counter: Arc<AtomicU64>,
    /// True if each time is printed when it is recorded.
    live: bool,
}

impl Stats {
    pub(crate) fn new(live: bool) -> Self {
        // From a nanosecond to an hour, with three significant digits.
        let times = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("valid bounds");
        Self { times, trouble: None, unanswered: 0, silent: 0, surplus: 0, counter: Arc::default(), live }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.times.saturating_record(nanos.max(1));
        self.counter.fetch_add(1, Ordering::Relaxed);
        if self.live {
            output::line_or_end(span(nanos));
        }
    }

    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.counter)
    }

    pub(crate) fn count(&self) -> u64 {
        self.times.len()
    }

    /// Returns the longest recorded time.
    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_nanos(self.times.max())
    }

    /// Returns a description of the problems, if any.
    pub(crate) fn verdict(&self) -> Option<String> {
        let mut verdict = self.trouble.clone()?;
        for (count, one, many) in [
            (self.unanswered, "request was not answered", "requests were not answered"),
            (self.silent, "connection got no reply at all", "connections got no reply at all"),
            (self.surplus, "reply too many", "replies too many"),
        ] {
            if count > 0 {
                verdict.push_str(&format!("; {count} {}", if count == 1 { one } else { many }));
            }
        }
        Some(verdict)
    }

    pub(crate) fn p99(&self) -> String {
        span(self.times.value_at_quantile(0.99))
    }

    /// Returns the 99th percentile in microseconds, for programs.
    #[expect(clippy::cast_precision_loss, reason = "a time is shown in a few digits")]
    pub(crate) fn p99_micros(&self) -> f64 {
        self.times.value_at_quantile(0.99) as f64 / 1e3
    }

    /// Returns the summary, of two lines.
    pub(crate) fn summary(&self, seconds: f64) -> String {
        let at = |quantile| span(self.times.value_at_quantile(quantile));
        format!(
            "{} requests in {seconds:.1} s: {}\n\
             time per request: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            self.count(),
            rate(self.count(), seconds),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            span(self.times.max()),
        )
    }
}

/// A thread that prints the rate of requests every second, until it is dropped.
pub(crate) struct Ticker(Option<Sender<()>>, Option<JoinHandle<()>>);

impl Ticker {
    pub(crate) fn start(counter: Arc<AtomicU64>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let (count, now) = (counter.load(Ordering::Relaxed), Instant::now());
                output::line_or_end(rate(count - last, (now - since).as_secs_f64()));
                (last, since) = (count, now);
            }
        })?;
        Ok(Self(Some(stop), Some(thread)))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.take();
        if let Some(thread) = self.1.take() {
            thread.join().ok();
        }
    }
}

/// Returns the number of requests per second.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown in a few digits")]
pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

pub(crate) fn rate(count: u64, seconds: f64) -> String {
    format!("{:.0} requests/s", per_second(count, seconds))
}

/// Formats a number of nanoseconds with a suitable unit.
#[expect(clippy::cast_precision_loss, reason = "a time is shown in a few digits")]
fn span(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..10_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}
