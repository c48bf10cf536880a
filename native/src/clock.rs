//! The clock of a loop.

use sinbin_core::Instant;

/// Tells the time of a loop: how long it has been since the loop was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(system::Moment);

impl Clock {
    /// Starts a clock, which begins at [`Instant::ZERO`].
    pub(crate) fn start() -> Self {
        Self(system::Moment::now())
    }

    /// Returns the time.
    #[inline]
    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(self.0.nanos_since())
    }
}

/// Reads the clock by the system's call. A task reads the clock whenever it asks for a span, which a small service does once
/// a request, and the standard library's moments cost five times the instructions: they are checked, and made to last for
/// longer than 584 years.
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
            // SAFETY: the call writes to the one `timespec` that it is given, which is ours, and keeps nothing.
            let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
            // The numbers are never negative, and the call never fails: this clock is always there.
            let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
            Self(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos))
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
            assert!(now >= before, "it never goes back");
            before = now;
            let now = now.since(sinbin_core::Instant::ZERO);
            assert!(now >= early, "{now:?} is not before {early:?}");
        }
    }
}
