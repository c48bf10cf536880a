//! Reports of tasks that fail and that nobody joins.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sinbin_core::task::{Reports, UnjoinedFailure};

/// How many of them are named in a second; the others are counted. Whoever has such tasks spawned may be a client.
const NAMED: u64 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Warns of each, by name.
pub(crate) struct LogFailures(Mutex<Last>);

/// The second that is counted.
struct Last {
    began: Option<Instant>,
    failed: u64,
}

impl LogFailures {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Last { began: None, failed: 0 }))
    }

    /// Counts a failure. Returns whether it is to be named, and how many of the second before were not.
    fn count(&self) -> (bool, u64) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unnamed = 0;
        if last.began.is_none_or(|began| began.elapsed() >= SECOND) {
            unnamed = last.take_unnamed();
            last.began = Some(Instant::now());
        }
        last.failed += 1;
        (last.failed <= NAMED, unnamed)
    }
}

impl Reports for LogFailures {
    fn failed(&self, failed: &UnjoinedFailure<'_>) {
        if failed.was_cancelled {
            tracing::debug!("{failed}");
            return;
        }
        // Nothing is locked while the user's `Display` runs, which may fail another task, or a subscriber.
        let (is_named, unnamed) = self.count();
        tell_unnamed(unnamed);
        if is_named {
            tracing::warn!("{failed}, and nobody joins it");
        }
    }
}

fn tell_unnamed(count: u64) {
    if count > 0 {
        tracing::warn!("{count} more tasks failed that nobody joins");
    }
}

impl Last {
    fn take_unnamed(&mut self) -> u64 {
        std::mem::take(&mut self.failed).saturating_sub(NAMED)
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        tell_unnamed(self.take_unnamed());
    }
}
