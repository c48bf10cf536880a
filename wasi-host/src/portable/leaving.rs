//! The connections that the guest has closed before their last bytes were sent. The host sends these bytes. A peer that
//! does not receive them must not keep the connection, and its share of the limits, for ever.

use std::collections::VecDeque;
use std::time::Duration;

use sinbin::Instant;

use super::slots::Place;

/// The time after which a connection is dropped if its peer receives none of the remaining bytes.
const STUCK_PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and the number of its unsent bytes at the last look.
struct Last {
    place: Place,
    unsent: usize,
    until: Instant,
}

/// The connections, in the order of their next look.
#[derive(Default)]
pub(super) struct Leaving {
    queue: VecDeque<Last>,
}

impl Leaving {
    /// Adds a connection that has `unsent` bytes.
    pub(super) fn add(&mut self, place: Place, unsent: usize, now: Instant) {
        self.queue.push_back(Last { place, unsent, until: now + STUCK_PATIENCE });
    }

    /// Returns the time of the next look.
    pub(super) fn next(&self) -> Instant {
        self.queue.front().map_or(Instant::NEVER, |last| last.until)
    }

    /// Returns a connection whose peer has received nothing since the last look, if there is one. `unsent` returns the
    /// number of unsent bytes of a connection, or `None` if it is gone.
    pub(super) fn stuck(
        &mut self,
        now: Instant,
        mut unsent: impl FnMut(Place) -> Option<usize>,
    ) -> Option<Place> {
        while let Some(Last { place, unsent: before, .. }) = self.queue.pop_front_if(|last| last.until <= now)
        {
            match unsent(place) {
                None => {}
                Some(left) if left < before => self.add(place, left, now),
                Some(_) => return Some(place),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Slots;
    use super::*;

    #[test]
    fn a_peer_is_waited_for_while_it_receives() {
        let mut slots = Slots::new();
        let place = slots.insert(()).expect("room");
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut leaving = Leaving::default();
        assert_eq!(leaving.next(), Instant::NEVER);
        leaving.add(place, 100, at(0));
        assert_eq!(leaving.next(), at(10));
        let mut look = |now, left| leaving.stuck(at(now), |_| left).is_some();
        assert!(!look(9, Some(100)), "too early");
        assert!(!look(10, Some(99)), "one byte in ten seconds is enough");
        assert!(!look(19, Some(99)));
        assert!(look(20, Some(99)));
        assert!(!look(40, Some(99)), "it is reported once");
    }

    #[test]
    fn a_connection_that_is_gone_is_forgotten() {
        let mut slots = Slots::new();
        let place = slots.insert(()).expect("room");
        let mut leaving = Leaving::default();
        leaving.add(place, 1, Instant::ZERO);
        assert!(leaving.stuck(Instant::ZERO + STUCK_PATIENCE, |_| None).is_none());
        assert_eq!(leaving.next(), Instant::NEVER);
    }
}
