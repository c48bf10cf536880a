//! Decisions: the source of all randomness in a run, and the tape that records it.

/// The source of every decision of a run: a seed, or a tape of earlier decisions.
///
/// The decision 0 is always the friendly one, without a fault, and all decisions past the end of a tape are 0. Every
/// run therefore ends, and the faults that a failing run needs can be found by leaving out decisions
/// ([`shrink`](crate::shrink)).
#[derive(Clone, Debug)]
pub struct Rng {
    from: From,
    /// The decisions so far, if they are recorded.
    tape: Option<Vec<u32>>,
    calm: bool,
}

#[derive(Clone, Debug)]
enum From {
    Seed(u64),
    Tape { tape: Vec<u32>, at: usize },
}

/// The denominator of rates: a rate of half of it means every second time.
pub const OFTEN: u32 = 1024;

impl Rng {
    /// Creates the decisions of a seed. They never change, and are equal on every machine.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { from: From::Seed(seed), tape: None, calm: false }
    }

    /// Creates the decisions of a tape, with friendly ones after its end.
    #[must_use]
    pub fn replayed(tape: &[u32]) -> Self {
        Self { from: From::Tape { tape: tape.to_vec(), at: 0 }, tape: None, calm: false }
    }

    /// Records the decisions on a tape.
    #[must_use]
    pub fn recorded(self) -> Self {
        Self { tape: Some(Vec::new()), ..self }
    }

    /// Returns the recorded decisions, or an empty tape if they are not recorded.
    #[must_use]
    pub fn into_tape(self) -> Vec<u32> {
        self.tape.unwrap_or_default()
    }

    /// Makes all further decisions friendly.
    pub fn calm_down(&mut self) {
        self.calm = true;
    }

    /// Returns true if all further decisions are friendly.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    /// Returns a number below `choices`, or 0 if there is no choice.
    #[inline]
    pub fn below(&mut self, choices: u32) -> u32 {
        if self.calm || choices < 2 {
            return 0;
        }
        let choice = match &mut self.from {
            From::Seed(state) => {
                let wide = (next(state) >> 32) * u64::from(choices);
                u32::try_from(wide >> 32).unwrap_or(0)
            }
            From::Tape { tape, at } => {
                *at += 1;
                tape.get(*at - 1).map_or(0, |choice| choice % choices)
            }
        };
        if let Some(tape) = &mut self.tape {
            tape.push(choice);
        }
        choice
    }

    /// Returns a number from `least` to `most`; `least` is the friendly one.
    #[inline]
    pub fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// Returns true with a probability of `rate` in [`OFTEN`].
    #[inline]
    pub fn strikes(&mut self, rate: u32) -> bool {
        rate > 0 && self.below(OFTEN) >= OFTEN.saturating_sub(rate)
    }

    /// Returns how much of `all` passes at once: everything, or, `rate` times in [`OFTEN`], a part or nothing.
    #[inline]
    pub fn part(&mut self, all: usize, rate: u32) -> usize {
        if all == 0 || !self.strikes(rate) {
            return all;
        }
        match self.below(5) {
            0 => all.min(1),
            1 => all / 2,
            2 => all - 1,
            3 => all.min(self.below(20) as usize),
            _ => 0,
        }
    }

    /// Returns one of `these`, which must not be empty; the first is the friendly one.
    pub fn pick<'t, T>(&mut self, these: &'t [T]) -> &'t T {
        &these[self.below(u32::try_from(these.len()).unwrap_or(u32::MAX)) as usize]
    }
}

/// Returns the next output of Steele, Lea and Flood's SplitMix64. The algorithm is written out here because the meaning
/// of a seed must never change.
#[inline]
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn a_tape_gives_what_its_seed_gave_and_is_friendly_after() {
        let mut seeded = Rng::seeded(7).recorded();
        let given: Vec<_> = (2..50).map(|choices| seeded.below(choices)).collect();
        let mut replayed = Rng::replayed(&seeded.into_tape());
        let again: Vec<_> = (2..50).map(|choices| replayed.below(choices)).collect();
        assert_eq!(given, again);
        assert_eq!(replayed.below(1000), 0);
    }

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::seeded(0);
        let given: Vec<_> = (0..6).map(|_| rng.below(1000)).collect();
        // The first outputs of SplitMix64 from 0 are e220a8397b1dcdaf, 6e789e6aa1b965f4, 06c45d188009454f, ...
        assert_eq!(given, [883, 431, 26, 970, 106, 327]);
    }

    #[test]
    fn a_rate_is_a_rate() {
        let mut rng = Rng::seeded(1);
        let struck = (0..100_000).filter(|_| rng.strikes(256)).count();
        assert!((24_000..26_000).contains(&struck), "{struck}");
        assert!(!rng.strikes(0));
    }
}
