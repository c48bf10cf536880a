//! Reports of failed tasks that no task joins.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sinbin_core::task::{Reports, UnjoinedFailure};

/// The number of failed tasks per second that are logged by name. Further ones are only counted, because a client may
/// be able to cause the failures.
const NAMED: u64 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Logs a warning with the name of each failed task, up to the limit.
pub(crate) struct LogFailures(Mutex<Last>);

/// The second in which failures are currently counted.
struct Last {
    began: Option<Instant>,
    failed: u64,
}

impl LogFailures {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Last { began: None, failed: 0 }))
    }

    /// Counts a failure. Returns true if it is to be logged by name, and the number of failures of the previous second
    /// that were not.
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
        // No lock is held while the user's `Display` or a log subscriber runs, because either may cause another task to
        // fail.
        let (is_named, unnamed) = self.count();
        tell_unnamed(unnamed);
        if is_named {
            tracing::warn!("{failed}, and no task joins it");
        }
    }
}

fn tell_unnamed(count: u64) {
    if count > 0 {
        tracing::warn!("{count} more tasks failed that no task joins");
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
