//! How the loop comes to its end.

use core::time::Duration;

use sinbin_core::Instant;

/// How long a host may take to notice what has come in. What was sent before the request to stop is to be answered,
/// so nobody is told that nothing is there before that.
const SETTLE: Duration = Duration::from_millis(20);

/// Where the loop is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Nobody asked for an end.
    Off,
    /// Connections that are under way to the listeners are awaited until then.
    Accepting(Instant),
    /// There are no listeners; bytes that are under way are awaited until then.
    Receiving(Instant),
    /// Connections that have nothing to read are told to end; who is left then is cut off.
    On(Instant),
    /// They were.
    Over,
}

impl Drain {
    /// Returns the stage behind this one, if its time has come and all that happened before has been `seen`.
    pub(crate) fn next(self, seen: Instant, now: Instant, timeout: Option<Duration>) -> Option<Self> {
        match self {
            Self::Accepting(at) if seen >= at => Some(Self::Receiving(now + SETTLE)),
            Self::Receiving(at) if seen >= at => {
                Some(Self::On(timeout.map_or(Instant::NEVER, |span| now + span)))
            }
            Self::On(at) if seen >= at => Some(Self::Over),
            _ => None,
        }
    }

    /// The first stage.
    pub(crate) fn begin(now: Instant) -> Self {
        Self::Accepting(now + SETTLE)
    }

    /// When the next stage begins.
    pub(crate) fn deadline(self) -> Instant {
        match self {
            Self::Accepting(at) | Self::Receiving(at) | Self::On(at) => at,
            Self::Off | Self::Over => Instant::NEVER,
        }
    }
}
