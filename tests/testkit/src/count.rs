//! A job of known length.

use sinbin_core::{Job, Progress};

/// Counts down by one per unit of budget. The output is the initial number.
pub struct Count {
    number: u32,
    left: u32,
}

pub fn count(number: u32) -> Count {
    Count { number, left: number }
}

impl Job for Count {
    type Output = u32;

    fn run(&mut self, budget: u32) -> Progress<u32> {
        self.left = self.left.saturating_sub(budget);
        if self.left == 0 { Progress::Done(self.number) } else { Progress::More }
    }
}
