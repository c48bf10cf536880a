//! Points in time, as reported by the host.

use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since an epoch that the host chooses.
///
/// The core reads no clock. It compares and stores the moments that [`Kernel::advance`](crate::Kernel::advance)
/// receives. The range is about 584 years.
///
/// ```
/// use core::time::Duration;
/// # use sinbin_core::Instant;
///
/// let start = Instant::from_nanos(0);
/// assert_eq!(start + Duration::from_micros(3), Instant::from_nanos(3_000));
/// assert_eq!(start + Duration::MAX, Instant::NEVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// A moment that never comes: the deadline of a wait without a deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// The last moment that can come, so that a wait until then still has a deadline.
    pub(crate) const LAST: Self = Self(u64::MAX - 1);

    /// The host's epoch.
    pub const ZERO: Self = Self(0);

    /// Returns the moment `nanos` nanoseconds after the host's epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the host's epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Adds `span`; saturates at [`Instant::NEVER`].
    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}
