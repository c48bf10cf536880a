//! Decisions.

/// A tape of decisions. 0 is the friendly choice every time, and so is all past the end of the tape. So each
/// run comes to an end, and a failing one shrinks to the few unkind decisions that it takes.
pub struct Luck {
    tape: Vec<u8>,
    at: usize,
}

impl Luck {
    pub fn new(tape: &[u8]) -> Self {
        Self { tape: tape.to_vec(), at: 0 }
    }

    /// One of `choices`.
    pub fn below(&mut self, choices: usize) -> usize {
        let byte = self.tape.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % choices
    }

    /// How much of `all` goes through at once: all of it, or some, or nothing.
    pub fn part(&mut self, all: usize) -> usize {
        match self.below(5) {
            0 => all,
            1 => all.min(1),
            2 => all / 2,
            3 => all.min(self.below(20)),
            _ => 0,
        }
    }

    /// Whether something happens that does once in `times`.
    pub fn strikes(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }
}
