//! The limit of restarts of a guest.

use std::collections::VecDeque;
use std::time::Duration;

use sinbin_core::Instant;

/// The period in which restarts are counted.
const SPAN: Duration = Duration::from_secs(60);

/// The restarts of the last minute.
#[derive(Debug)]
pub(crate) struct Restarts {
    limit: usize,
    at: VecDeque<Instant>,
}

impl Restarts {
    /// Allows at most `limit` restarts in any minute.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, at: VecDeque::new() }
    }

    /// Schedules a restart, and returns its time: now, or the time at which the limit permits it. Returns
    /// [`Instant::NEVER`] if the limit is 0.
    pub(crate) fn take(&mut self, now: Instant) -> Instant {
        while self.at.front().is_some_and(|first| now.since(*first) >= SPAN) {
            self.at.pop_front();
        }
        let when = match self.at.len().checked_sub(self.limit) {
            None => now,
            Some(over) => self.at.get(over).map_or(Instant::NEVER, |first| now.max(*first + SPAN)),
        };
        self.at.push_back(when);
        when
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sinbin_core::Instant;

    use super::Restarts;

    #[test]
    fn so_many_a_minute() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut restarts = Restarts::new(2);
        assert_eq!(restarts.take(at(0)), at(0));
        assert_eq!(restarts.take(at(10)), at(10));
        // The third restart waits until the first one is a minute old.
        assert_eq!(restarts.take(at(20)), at(60));
        assert_eq!(restarts.take(at(61)), at(70));
        assert_eq!(restarts.take(at(200)), at(200));
    }

    #[test]
    fn none_at_all() {
        assert_eq!(Restarts::new(0).take(Instant::ZERO), Instant::NEVER);
    }
}
