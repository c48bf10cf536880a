//! The run as a story to read, and the sum by which two runs are known to be the same.

use std::fmt::Write as _;

use sinbin_core::Instant;

/// What is told of a run.
#[derive(Default)]
pub(crate) struct Story {
    lines: Option<String>,
    /// A sum of all that is told, whether it is kept or not.
    sum: u64,
}

impl Story {
    /// A story that is kept.
    pub(crate) fn kept() -> Self {
        Self { lines: Some(String::new()), sum: 0 }
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
