//! Reduction of a failing run to a short one that fails as well.

/// The most runs of a search. The best tape up to then is short enough.
const MOST_RUNS: usize = 3000;

/// Removes the decisions of `tape` that are not needed for a failure, and makes the others as friendly as possible.
/// Calls `fails` some thousand times at most. If `tape` fails, the returned tape fails as well.
///
/// The method is that of Hypothesis (MacIver and others, 2019): the decisions are shrunk rather than their results, so
/// every result could have come from a seed.
pub fn shrink(tape: &[u32], mut fails: impl FnMut(&[u32]) -> bool) -> Vec<u32> {
    let mut best = Tape { tape: tape.to_vec(), runs: 0 };
    loop {
        let before = best.tape.clone();
        best.cut(&mut fails);
        best.leave_out(&mut fails);
        best.soften(&mut fails);
        if best.tape == before || best.runs >= MOST_RUNS {
            return best.tape;
        }
    }
}

struct Tape {
    tape: Vec<u32>,
    runs: usize,
}

impl Tape {
    /// Replaces the tape with `other` if that fails too.
    fn try_other(&mut self, mut other: Vec<u32>, fails: &mut impl FnMut(&[u32]) -> bool) -> bool {
        // Decisions past the end are 0, so trailing zeros can be dropped.
        other.truncate(other.iter().rposition(|choice| *choice != 0).map_or(0, |last| last + 1));
        if self.runs >= MOST_RUNS || other == self.tape {
            return false;
        }
        self.runs += 1;
        let fails = fails(&other);
        if fails {
            self.tape = other;
        }
        fails
    }

    /// Looks for a short prefix that fails, by bisection.
    fn cut(&mut self, fails: &mut impl FnMut(&[u32]) -> bool) {
        let (mut least, mut most) = (0, self.tape.len());
        while least < most {
            let middle = usize::midpoint(least, most);
            if self.try_other(self.tape[..middle.min(self.tape.len())].to_vec(), fails) {
                most = middle;
            } else {
                least = middle + 1;
            }
        }
    }

    /// Removes or zeroes ranges of decisions, long ones first.
    fn leave_out(&mut self, fails: &mut impl FnMut(&[u32]) -> bool) {
        let mut len = self.tape.len() / 2;
        while len > 0 {
            let mut at = self.tape.len().saturating_sub(len);
            loop {
                let end = (at + len).min(self.tape.len());
                if at < end {
                    let without = [&self.tape[..at], &self.tape[end..]].concat();
                    let calmer = [&self.tape[..at], &vec![0; end - at], &self.tape[end..]].concat();
                    if !self.try_other(without, fails) {
                        self.try_other(calmer, fails);
                    }
                }
                if at == 0 {
                    break;
                }
                at = at.saturating_sub(len);
            }
            len /= 2;
        }
    }

    /// Makes single decisions smaller.
    fn soften(&mut self, fails: &mut impl FnMut(&[u32]) -> bool) {
        for at in (0..self.tape.len()).rev() {
            while let Some(choice) = self.tape.get(at).copied().filter(|choice| *choice > 1) {
                let mut other = self.tape.clone();
                other[at] = choice / 2;
                if !self.try_other(other, fails) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn what_matters_is_left() {
        let tape: Vec<u32> = (0..1000).collect();
        let fails = |tape: &[u32]| tape.iter().any(|choice| *choice >= 500) && tape.contains(&3);
        let short = shrink(&tape, fails);
        assert!(fails(&short));
        assert!(short.len() <= 4, "{short:?}");
    }

    #[test]
    fn what_fails_anyway_needs_nothing() {
        assert_eq!(shrink(&[1, 2, 3], |_| true), []);
    }
}
