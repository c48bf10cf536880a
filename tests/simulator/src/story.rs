//! The run as a story to read, and the sum by which two runs are known to be the same.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sinbin_core::{Instant, Readiness};

/// What is told of a run.
#[derive(Default)]
pub(crate) struct Story {
    lines: Option<String>,
    /// A sum of all that is told, whether it is kept or not.
    sum: u64,
    /// Where somebody else looks how many steps there were.
    steps: Option<Arc<AtomicU64>>,
}

impl Story {
    /// A story that is kept, or not.
    pub(crate) fn of(told: bool) -> Self {
        Self { lines: told.then(String::new), ..Self::default() }
    }

    /// One that is not kept, of a run whose steps are counted in `steps`, too.
    pub(crate) fn watched(steps: Arc<AtomicU64>) -> Self {
        Self { steps: Some(steps), ..Self::default() }
    }

    /// Says what it is a story of, before all else.
    pub(crate) fn begin(&mut self, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{}", what()).ok();
        }
    }

    /// There were so many steps so far.
    pub(crate) fn count(&self, steps: u64) {
        if let Some(seen) = &self.steps {
            seen.store(steps, Ordering::Relaxed);
        }
    }

    /// Tells something at `now`: `what` is written only where it is kept.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let nanos = now.as_nanos();
            let (seconds, micros, rest) = (nanos / 1_000_000_000, nanos / 1000 % 1_000_000, nanos % 1000);
            writeln!(lines, "{seconds:4}.{micros:06}.{rest:03}  {}", what()).ok();
        }
    }

    /// Adds to the sum by which runs are compared.
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

/// What a source is ready to do.
pub(crate) fn ready_to(readiness: Readiness) -> String {
    let words = [
        (Readiness::RECV, "to receive"),
        (Readiness::SEND, "to send"),
        (Readiness::HANGUP, "both directions have ended"),
    ];
    let words = words.into_iter().filter(|(condition, _)| readiness.contains(*condition));
    words.map(|(_, words)| words).collect::<Vec<_>>().join(", ")
}
