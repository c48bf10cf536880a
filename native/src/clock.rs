//! The clock of a loop.

use std::time::Instant as Moment;

use sinbin_core::Instant;

/// Tells the time of a loop: how long it has been since the loop was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Moment);

impl Clock {
    /// A clock that begins now, at [`Instant::ZERO`].
    pub(crate) fn start() -> Self {
        Self(Moment::now())
    }

    /// The time.
    #[inline]
    pub(crate) fn now(self) -> Instant {
        let elapsed = self.0.elapsed();
        Instant::from_nanos(elapsed.as_secs().wrapping_mul(1_000_000_000) + u64::from(elapsed.subsec_nanos()))
    }
}
