//! Reports of tasks that fail and that nobody joins.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sinbin_core::task::{Reports, Unjoined};

/// How many of them are named in a second; the others are counted. Whoever has such tasks spawned may be a client.
const NAMED: u64 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Warns of each, by name.
pub(crate) struct Warns(Mutex<Last>);

/// The second that is counted.
struct Last {
    began: Option<Instant>,
    failed: u64,
}

impl Warns {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Last { began: None, failed: 0 }))
    }
}

impl Reports for Warns {
    fn failed(&self, failed: &Unjoined<'_>) {
        if failed.was_cancelled {
            tracing::debug!("{failed}");
            return;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.began.is_none_or(|began| began.elapsed() >= SECOND) {
            last.close();
            last.began = Some(Instant::now());
        }
        last.failed += 1;
        if last.failed <= NAMED {
            tracing::warn!("{failed}, and nobody joins it");
        }
    }
}

impl Last {
    fn close(&mut self) {
        let unnamed = std::mem::take(&mut self.failed).saturating_sub(NAMED);
        if unnamed > 0 {
            tracing::warn!("{unnamed} more tasks failed that nobody joins");
        }
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.close();
    }
}
