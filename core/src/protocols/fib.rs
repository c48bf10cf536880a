//! The talk's function, directly and as a job.

use crate::job::{Job, Progress, WireJob};

/// The largest n whose value fits 64 bits.
pub const MAX_N: u32 = 93;

/// The largest subtree that is computed in one go: about 2,000 calls, which take some microseconds.
const LEAF: u32 = 16;

/// The talk's Fibonacci function: 1 for `n` <= 2, otherwise the sum of the two previous values, by plain double
/// recursion. The function is slow on purpose: it makes 2 fib(n) - 1 calls. Above [`MAX_N`] the sum does not fit, and
/// wraps. (With a checked addition, the compiler could not turn the second call into a loop.)
///
/// ```
/// # use sinbin_core::fib::fib;
/// assert_eq!(fib(10), 55);
/// assert_eq!(fib(0), 1);
/// ```
#[must_use]
pub fn fib(n: u32) -> u64 {
    if n <= 2 { 1 } else { fib(n - 1).wrapping_add(fib(n - 2)) }
}

/// [`fib`] in slices. A unit of the budget is one call of the recursion, about a nanosecond.
///
/// The remaining computation is a sum over subtrees. A recursion that visits the larger branch first leaves subtrees of
/// different sizes, so one bit for each size records which are left. The smallest is always the next.
#[derive(Clone, Copy, Debug)]
pub struct FibJob {
    left: u128,
    sum: u64,
}

impl FibJob {
    /// Creates the job that computes `fib(n)`. A larger `n` than [`MAX_N`] counts as [`MAX_N`].
    #[must_use]
    pub const fn new(n: u32) -> Self {
        let n = if n > MAX_N { MAX_N } else { n };
        Self { left: 1 << n, sum: 0 }
    }

    /// Removes the smallest subtree and descends to one of its leaves. The subtrees that this leaves are smaller than
    /// the removed one.
    fn next_leaf(&mut self) -> Option<u32> {
        if self.left == 0 {
            return None;
        }
        let mut n = self.left.trailing_zeros();
        self.left &= self.left - 1;
        while n > LEAF {
            self.left |= 1 << (n - 2);
            n -= 1;
        }
        Some(n)
    }
}

impl Job for FibJob {
    type Output = u64;

    fn run(&mut self, budget: u32) -> Progress<u64> {
        let mut calls = 0;
        while calls < u64::from(budget.max(1)) {
            let Some(leaf) = self.next_leaf() else {
                return Progress::Done(self.sum);
            };
            let value = fib(leaf);
            self.sum = self.sum.wrapping_add(value);
            calls += 2 * value - 1;
        }
        Progress::More
    }
}

/// The encoding has 24 bytes, little-endian: the remaining subtrees, and the sum. A result has 8 bytes.
impl WireJob for FibJob {
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool {
        put(&self.left.to_le_bytes());
        put(&self.sum.to_le_bytes());
        true
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (left, sum) = bytes.split_first_chunk()?;
        let left = u128::from_le_bytes(*left);
        // No subtree is larger than the largest job.
        let is_possible = left >> (MAX_N + 1) == 0;
        is_possible.then_some(Self { left, sum: u64::from_le_bytes(sum.try_into().ok()?) })
    }

    fn encode_output(output: &u64, put: &mut dyn FnMut(&[u8])) {
        put(&output.to_le_bytes());
    }

    fn decode_output(bytes: &[u8]) -> Option<u64> {
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{FibJob, fib};
    use crate::job::{Job, Progress, WireJob};

    #[test]
    fn slices_of_any_size_come_to_the_same() {
        for n in 0..=27 {
            for budget in [0, 1, 100, 5_000, u32::MAX] {
                let mut job = FibJob::new(n);
                let value = loop {
                    if let Progress::Done(value) = job.run(budget) {
                        break value;
                    }
                };
                assert_eq!(value, fib(n), "fib({n}) in slices of {budget}");
            }
        }
    }

    #[test]
    fn a_job_goes_on_where_it_came_to_after_every_slice() {
        for n in [0, 1, 20, 27] {
            let mut bytes = Vec::new();
            assert!(FibJob::new(n).encode(&mut |part| bytes.extend_from_slice(part)));
            let value = loop {
                let mut job = FibJob::decode(&bytes).expect("the encoding of a job");
                match job.run(2_000) {
                    Progress::Done(value) => break value,
                    Progress::More => bytes.clear(),
                }
                job.encode(&mut |part| bytes.extend_from_slice(part));
            };
            assert_eq!(value, fib(n));
        }
        for junk in [&[0xff; 24][..], &[0; 23], &[0; 25], &[]] {
            assert!(FibJob::decode(junk).is_none(), "{junk:?}");
        }
    }

    #[test]
    fn a_slice_is_no_longer_than_its_budget_and_a_leaf() {
        let mut job = FibJob::new(40);
        let before = job.sum;
        assert_eq!(job.run(10_000), Progress::More);
        assert!(2 * (job.sum - before) < 10_000 + 2 * fib(16));
    }
}
