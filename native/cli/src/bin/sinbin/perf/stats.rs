//! The results of a measurement, and their output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use sinbin_cli::output;

use super::noise::WINDOWS;

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
    /// The number of connections with a problem.
    pub(crate) errors: u64,
    /// The numbers of recorded times in the windows of the measurement.
    windows: Windows,
    /// The number of recorded times, for the [`Ticker`] on another thread.
    counter: Arc<AtomicU64>,
    /// True if each time is printed when it is recorded.
    live: bool,
}

/// The numbers of requests in equal parts of the time of a measurement.
struct Windows {
    length: Duration,
    counts: [u64; WINDOWS as usize],
}

impl Stats {
    /// Creates the empty results of a measurement that takes `time`. If it is `live`, each time is printed.
    pub(crate) fn new(time: Duration, live: bool) -> Self {
        // From a nanosecond to an hour, with three significant digits.
        let times = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("valid bounds");
        let windows = Windows { length: time / WINDOWS, counts: [0; WINDOWS as usize] };
        let (unanswered, silent, surplus, errors) = (0, 0, 0, 0);
        let counter = Arc::default();
        Self { times, trouble: None, unanswered, silent, surplus, errors, windows, counter, live }
    }

    /// Records the time of a request that was answered at `at`, counted from the beginning of the measurement.
    pub(crate) fn record(&mut self, time: Duration, at: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.times.saturating_record(nanos.max(1));
        self.counter.fetch_add(1, Ordering::Relaxed);
        self.windows.count(at);
        if self.live {
            output::line_or_end(span(nanos));
        }
    }

    /// Records a problem. The first one is reported.
    pub(crate) fn report(&mut self, trouble: &str) {
        self.trouble.get_or_insert_with(|| trouble.to_owned());
    }

    /// Returns the recorded times, in nanoseconds.
    pub(crate) fn times(&self) -> &Histogram<u64> {
        &self.times
    }

    /// Returns the length of a window, and the number of requests in each window that was whole after `seconds`.
    pub(crate) fn windows(&self, seconds: f64) -> (Duration, &[u64]) {
        let Windows { length, counts } = &self.windows;
        let whole = (0..counts.len()).filter(|index| is_whole(*index, *length, seconds)).count();
        (*length, &counts[..whole])
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

    /// Returns the summary, of two lines, with a remark at the end of the first.
    pub(crate) fn summary(&self, seconds: f64, remark: &str) -> String {
        let at = |quantile| span(self.times.value_at_quantile(quantile));
        format!(
            "{} requests in {seconds:.1} s: {}{remark}\n\
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

impl Windows {
    fn count(&mut self, at: Duration) {
        let index = at.as_nanos() / self.length.as_nanos().max(1);
        if let Some(count) = usize::try_from(index).ok().and_then(|index| self.counts.get_mut(index)) {
            *count += 1;
        }
    }
}

/// Returns true if the window has ended after `seconds`, but for the rounding of the end of the measurement.
fn is_whole(index: usize, length: Duration, seconds: f64) -> bool {
    let ended = u32::try_from(index + 1).map_or(Duration::MAX, |windows| length * windows);
    ended.as_secs_f64() <= seconds + 1e-6
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
pub(crate) fn span(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..10_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_their_windows() {
        let mut stats = Stats::new(Duration::from_secs(1), false);
        for at in [0, 99, 100, 250, 999, 1000, 5000] {
            stats.record(Duration::from_micros(1), Duration::from_millis(at));
        }
        assert_eq!(stats.windows(1.0), (Duration::from_millis(100), &[2, 1, 1, 0, 0, 0, 0, 0, 0, 1][..]));
        assert_eq!(stats.windows(0.35).1, [2, 1, 1]);
        assert_eq!(stats.count(), 7);
    }
}
