//! How far a loop is on its way to its end: no new connections, and an answer to what was received.

use core::time::Duration;

use crate::kernel::instant::Instant;

/// The stage of the drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drain {
    /// The loop serves: no end was asked for.
    Off,
    /// Connections that are under way to the listeners are awaited until then.
    Accepting(Instant),
    /// There are no listeners; bytes that are under way are awaited until then.
    Receiving(Instant),
    /// Connections that have nothing to read are told to end. Those that are left then are cut off.
    On(Instant),
    /// All tasks are being ended, and this is how often they were.
    Over(usize),
}

impl Drain {
    /// Returns the stage in which connections are told to end, and have `timeout` for it.
    pub(super) fn within(now: Instant, timeout: Duration) -> Self {
        Self::On(now + timeout)
    }

    /// Returns true if no end was asked for.
    #[inline]
    pub(super) fn is_off(self) -> bool {
        self == Self::Off
    }

    /// Returns true if connections are told to end, or cut off.
    #[inline]
    pub(super) const fn is_telling(self) -> bool {
        matches!(self, Self::On(_) | Self::Over(_))
    }

    /// Returns when the stage ends.
    #[inline]
    pub(super) const fn deadline(self) -> Instant {
        match self {
            Self::Accepting(at) | Self::Receiving(at) | Self::On(at) => at,
            Self::Off => Instant::NEVER,
            Self::Over(_) => Instant::ZERO,
        }
    }
}
