//! The story of a run for people, and the checksum by which runs are compared.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sinbin_core::{Instant, Readiness};

/// The record of a run.
#[derive(Default)]
pub(crate) struct Story {
    lines: Option<String>,
    /// The checksum of all events, whether the story is recorded or not.
    sum: u64,
    /// A counter of steps that another thread reads.
    steps: Option<Arc<AtomicU64>>,
}

impl Story {
    /// Creates a story, which is recorded if `told` is set.
    pub(crate) fn of(told: bool) -> Self {
        Self { lines: told.then(String::new), ..Self::default() }
    }

    /// Creates a story that is not recorded, but stores the number of steps in `steps`.
    pub(crate) fn watched(steps: Arc<AtomicU64>) -> Self {
        Self { steps: Some(steps), ..Self::default() }
    }

    /// Writes the first line.
    pub(crate) fn begin(&mut self, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{}", what()).ok();
        }
    }

    /// Publishes the number of steps so far.
    pub(crate) fn count(&self, steps: u64) {
        if let Some(seen) = &self.steps {
            seen.store(steps, Ordering::Relaxed);
        }
    }

    /// Writes a line at the time `now`. Calls `what` only if the story is recorded.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let nanos = now.as_nanos();
            let (seconds, micros, rest) = (nanos / 1_000_000_000, nanos / 1000 % 1_000_000, nanos % 1000);
            writeln!(lines, "{seconds:4}.{micros:06}.{rest:03}  {}", what()).ok();
        }
    }

    /// Adds a number to the checksum.
    #[inline]
    pub(crate) fn add(&mut self, number: u64) {
        self.sum = (self.sum ^ number).wrapping_mul(0x100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    pub(crate) fn into_text(self) -> String {
        self.lines.unwrap_or_default()
    }
}

/// Describes the readiness of a source.
pub(crate) fn ready_to(readiness: Readiness) -> String {
    let words = [
        (Readiness::RECV, "to receive"),
        (Readiness::SEND, "to send"),
        (Readiness::HANGUP, "both directions have ended"),
    ];
    let words = words.into_iter().filter(|(condition, _)| readiness.contains(*condition));
    words.map(|(_, words)| words).collect::<Vec<_>>().join(", ")
}
