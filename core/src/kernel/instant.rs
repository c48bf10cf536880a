//! Points in time, as the host tells them.

use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since a moment that the host chose.
///
/// The core reads no clock. It compares and stores what [`Kernel::advance`](crate::Kernel::advance)
/// was given. The range is about 584 years.
///
/// ```
/// use core::time::Duration;
/// use sinbin_core::Instant;
///
/// let start = Instant::from_nanos(0);
/// assert_eq!(start + Duration::from_micros(3), Instant::from_nanos(3_000));
/// assert_eq!(start + Duration::MAX, Instant::NEVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(u64);

impl Instant {
    /// A moment that never comes: the deadline of a wait that has none.
    pub const NEVER: Self = Self(u64::MAX);

    /// The last moment that is one: what is waited for until then ends some day.
    pub(crate) const LAST: Self = Self(u64::MAX - 1);

    /// The host's epoch.
    pub const ZERO: Self = Self(0);

    /// The point `nanos` nanoseconds after the host's epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the host's epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long it is from `earlier` to `self`; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::NEVER`].
    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}
