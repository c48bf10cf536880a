//! The clock of a loop.

use sinbin_core::Instant;

/// A monotonic clock that measures the time since the loop was created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(system::Moment);

impl Clock {
    /// Starts a clock at [`Instant::ZERO`].
    pub(crate) fn start() -> Self {
        Self(system::Moment::now())
    }

    /// Returns the system's monotonic clock at [`Instant::ZERO`] in nanoseconds, or 0 if that is not known.
    pub(crate) fn zero(self) -> u64 {
        self.0.nanos()
    }

    /// Returns the current time.
    #[inline]
    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(self.0.nanos_since())
    }
}

/// Reads the clock with `clock_gettime`. A task reads the clock whenever it computes a deadline, which a small service
/// does once for each request. `std::time::Instant` takes five times as many instructions, because its arithmetic is
/// checked and covers more than 584 years.
#[cfg(target_os = "linux")]
mod system {
    #![allow(unsafe_code)]

    /// Nanoseconds of the system's monotonic clock.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Moment(u64);

    impl Moment {
        #[inline]
        pub(super) fn now() -> Self {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the call writes only to the `timespec` that it receives, which is a local variable, and does not
            // keep the pointer.
            let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
            // The values are never negative, and the call never fails because this clock always exists.
            let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
            Self(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos))
        }

        pub(super) fn nanos(self) -> u64 {
            self.0
        }

        #[inline]
        pub(super) fn nanos_since(self) -> u64 {
            Self::now().0.saturating_sub(self.0)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::Instant;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Moment(Instant);

    impl Moment {
        pub(super) fn now() -> Self {
            Self(Instant::now())
        }

        #[expect(clippy::unused_self, reason = "the other module needs it")]
        pub(super) fn nanos(self) -> u64 {
            0
        }

        #[inline]
        pub(super) fn nanos_since(self) -> u64 {
            let elapsed = self.0.elapsed();
            elapsed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(elapsed.subsec_nanos().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant as Moment;

    use super::Clock;

    #[test]
    fn it_goes_as_the_standard_librarys_does() {
        let (clock, moment) = (Clock::start(), Moment::now());
        let mut before = clock.now();
        for _ in 0..10_000 {
            let (early, now) = (moment.elapsed(), clock.now());
            assert!(now >= before, "the clock never goes backwards");
            before = now;
            let now = now.since(sinbin_core::Instant::ZERO);
            assert!(now >= early, "{now:?} is not before {early:?}");
        }
    }
}
