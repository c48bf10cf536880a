//! Warnings of tasks that failed: of those that no task joins, and of connections.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sinbin_core::task::{Reports, UnjoinedFailure};

/// The number of failed tasks per second that are logged by name. Further ones are only counted, because a client may
/// be able to cause the failures.
const NAMED: u64 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Logs a warning for each failed task, up to the limit.
pub(crate) struct LogFailures(Mutex<Last>);

/// The second in which failures are currently counted.
struct Last {
    began: Option<Instant>,
    failed: u64,
    /// The end of the message about further failures, which names them.
    what: &'static str,
}

impl LogFailures {
    /// Creates a log of the tasks that no task joins.
    pub(crate) const fn new() -> Self {
        Self::of("tasks failed that no task joins")
    }

    /// Creates a log of the tasks of connections.
    pub(crate) const fn of_connections() -> Self {
        Self::of("connections failed")
    }

    const fn of(what: &'static str) -> Self {
        Self(Mutex::new(Last { began: None, failed: 0, what }))
    }

    /// Counts a failure, and logs how many of the previous second were not logged. Returns true if this one is to be
    /// logged.
    pub(crate) fn admits(&self) -> bool {
        let (is_named, unnamed, what) = self.count();
        // No lock is held while a log subscriber runs, because it may cause another task to fail.
        tell_unnamed(unnamed, what);
        is_named
    }

    /// Counts a failure. Returns true if it is to be logged by name, and the number of failures of the previous second
    /// that were not.
    fn count(&self) -> (bool, u64, &'static str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unnamed = 0;
        if last.began.is_none_or(|began| began.elapsed() >= SECOND) {
            unnamed = last.take_unnamed();
            last.began = Some(Instant::now());
        }
        last.failed += 1;
        (last.failed <= NAMED, unnamed, last.what)
    }
}

impl Reports for LogFailures {
    fn failed(&self, failed: &UnjoinedFailure<'_>) {
        if failed.was_cancelled {
            tracing::debug!("{failed}");
            return;
        }
        if self.admits() {
            tracing::warn!("{failed}, and no task joins it");
        }
    }
}

fn tell_unnamed(count: u64, what: &str) {
    if count > 0 {
        tracing::warn!("{count} more {what}");
    }
}

impl Last {
    fn take_unnamed(&mut self) -> u64 {
        std::mem::take(&mut self.failed).saturating_sub(NAMED)
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        tell_unnamed(self.take_unnamed(), self.what);
    }
}
