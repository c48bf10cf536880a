//! The stages in which a loop stops: it accepts no new connections, and answers what it has received.

use core::time::Duration;

use crate::kernel::instant::Instant;

/// The stage of the drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drain {
    /// The loop serves: no stop was requested.
    Off,
    /// The listeners still accept connections in flight until this moment.
    Accepting(Instant),
    /// The listeners are closed; connections still receive bytes in flight until this moment.
    Receiving(Instant),
    /// Connections without input are asked to end. Those that are left at this moment are cut off.
    Ending(Instant),
    /// All tasks are ended by force. Holds how often that was done.
    Over(usize),
}

impl Drain {
    /// Returns the stage that asks connections to end within `timeout`.
    pub(super) fn within(now: Instant, timeout: Duration) -> Self {
        Self::Ending(now + timeout)
    }

    /// Returns true if no stop was requested.
    #[inline]
    pub(super) fn is_off(self) -> bool {
        self == Self::Off
    }

    /// Returns true if connections are asked to end, or cut off.
    #[inline]
    pub(super) const fn ends_connections(self) -> bool {
        matches!(self, Self::Ending(_) | Self::Over(_))
    }

    /// Returns the moment when the stage ends.
    #[inline]
    pub(super) const fn deadline(self) -> Instant {
        match self {
            Self::Accepting(at) | Self::Receiving(at) | Self::Ending(at) => at,
            Self::Off => Instant::NEVER,
            Self::Over(_) => Instant::ZERO,
        }
    }
}
