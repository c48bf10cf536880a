use sinbin_simulator::Rng;

use crate::client::fib;

/// The largest request that is answered on the loop; larger ones are jobs.
const LOOP_N: u32 = 10;

/// Requests that are sent together, and their answers.
#[derive(Clone, Debug, Default)]
pub struct Burst {
    /// The requests: a number a line.
    pub requests: Vec<u8>,
    /// The exact bytes of the answers.
    pub answers: Vec<u8>,
}

impl Burst {
    /// Creates a burst of these numbers.
    #[must_use]
    pub fn of(ns: impl IntoIterator<Item = u32>) -> Self {
        let mut burst = Self::default();
        for n in ns {
            burst.requests.extend(format!("{n}\n").bytes());
            burst.answers.extend(format!("{}\n", fib(n)).bytes());
        }
        burst
    }

    /// Creates a burst of `count` random numbers: one in eight is a job, and `most` is the largest.
    #[must_use]
    pub fn random(rng: &mut Rng, count: u32, most: u32) -> Self {
        Self::of((0..count).map(|_| match rng.below(8) {
            7 => rng.between(LOOP_N + 1, most),
            _ => rng.below(LOOP_N + 1),
        }))
    }

    /// Returns the expected answers if the server has received the first `count` bytes of the requests: those to the
    /// complete lines.
    #[must_use]
    pub fn answers_to(&self, count: usize) -> &[u8] {
        let lines = self.requests[..count].iter().filter(|byte| **byte == b'\n').count();
        let mut ends = self.answers.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let end = lines.checked_sub(1).and_then(|last| ends.nth(last));
        &self.answers[..end.map_or(0, |(at, _)| at + 1)]
    }
}
