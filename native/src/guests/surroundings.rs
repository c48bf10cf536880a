//! Facts that a guest cannot know by itself: the wall-clock time, and a seed for random numbers. They are events, so that a
//! recording contains them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sinbin_core::Instant;
use sinbin_core::driven::{Event, Wants};

use crate::guests::input::Input;

/// The number of bytes of a seed.
const SEED: usize = 32;

/// The minimum difference of the wall clock from its expected time that is reported.
const STEP: Duration = Duration::from_millis(100);

/// The interval between two readings of the wall clock.
const PERIOD: Duration = Duration::from_secs(1);

/// The facts that an instance of a guest has been told.
pub(crate) struct Surroundings {
    wants: Wants,
    /// The wall-clock time, in nanoseconds since the Unix epoch, at a time of the loop's clock.
    told: Option<(Instant, u64)>,
    /// The time of the next reading of the wall clock.
    next: Instant,
}

impl Surroundings {
    /// Creates the record of an instance that was told nothing.
    pub(crate) fn new(wants: Wants) -> Self {
        let next = if wants == Wants::default() { Instant::NEVER } else { Instant::ZERO };
        Self { wants, told: None, next }
    }

    /// Adds the events of a turn at the time `now`.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant, input: &mut Input) {
        if now >= self.next {
            self.tell_now(now, input);
        }
    }

    #[cold]
    fn tell_now(&mut self, now: Instant, input: &mut Input) {
        if self.wants.entropy && input.has_room(SEED) {
            self.wants.entropy = false;
            if let Some(seed) = seed() {
                input.entropy(&seed);
            }
        }
        if self.wants.wall_clock
            && let Some(time) = wall_clock()
            && self.told.is_none_or(|told| has_step(told, (now, time)))
        {
            self.told = Some((now, time));
            input.events.push(Event::WallClock(time));
        }
        self.next = if self.wants == Wants::default() { Instant::NEVER } else { now + PERIOD };
    }
}

/// Returns true if the wall clock was set between the two readings.
fn has_step(before: (Instant, u64), now: (Instant, u64)) -> bool {
    let passed = now.0.as_nanos().saturating_sub(before.0.as_nanos());
    let expected = before.1.saturating_add(passed);
    u128::from(expected.abs_diff(now.1)) >= STEP.as_nanos()
}

/// Returns the nanoseconds since the Unix epoch, or `None` if the clock shows an earlier time.
fn wall_clock() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Returns bytes from the system's generator, or `None` if the system does not have it as a file.
fn seed() -> Option<[u8; SEED]> {
    let mut seed = [0; SEED];
    let mut device = std::fs::File::open("/dev/urandom").ok()?;
    std::io::Read::read_exact(&mut device, &mut seed).ok()?;
    Some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_told_once_and_the_time_again_after_a_step() {
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let mut input = Input::new();
        let mut surroundings = Surroundings::new(Wants { wall_clock: true, entropy: true });
        surroundings.tell(at(1), &mut input);
        let [Event::Entropy { len: 32 }, Event::WallClock(_)] = input.events[..] else {
            panic!("{:?}", input.events);
        };
        assert!(input.bytes().len() == SEED && input.bytes() != [0; SEED]);
        input.clear();
        surroundings.tell(at(2), &mut input);
        assert!(input.is_empty(), "neither is told again");
        // The loop's clock has gone on by an hour, and the wall clock has not.
        surroundings.tell(at(3_600_000), &mut input);
        assert!(matches!(input.events[..], [Event::WallClock(_)]), "{:?}", input.events);
        let mut nothing = Surroundings::new(Wants::default());
        input.clear();
        nothing.tell(at(5), &mut input);
        assert!(input.is_empty());
    }

    #[test]
    fn small_differences_are_no_steps() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let wall = |millis: u64| millis * 1_000_000;
        let told = (at(1000), wall(50_000));
        assert!(!has_step(told, (at(2000), wall(51_000))) && !has_step(told, (at(2000), wall(51_099))));
        assert!(has_step(told, (at(2000), wall(51_100))) && has_step(told, (at(2000), wall(50_900))));
    }
}
