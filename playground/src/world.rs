//! The surroundings that the programs see besides their loop: an output, chance, and the cost of computing.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::time::Duration;

use sinbin_core::{Job, Progress};
use sinbin_simulator::Rng;

/// The virtual nanoseconds that one call of the recursion takes.
pub(crate) const CALL: u64 = 10;

/// The largest n whose Fibonacci number a client can request.
pub const MAX_N: u32 = 40;

/// The surroundings of a program. All randomness comes from the seed.
pub(crate) struct World {
    rng: RefCell<Rng>,
    printed: RefCell<Vec<String>>,
    computed: Cell<Duration>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = RefCell::new(Rng::seeded(seed));
        Self { rng, printed: RefCell::default(), computed: Cell::default() }
    }

    /// Prints a line.
    pub(crate) fn print(&self, line: impl Display) {
        self.printed.borrow_mut().push(line.to_string());
    }

    /// Returns a random delay of some milliseconds, such as that of a network.
    pub(crate) fn delay(&self) -> Duration {
        self.between(1000, 9000)
    }

    /// Returns a random span of some microseconds, in which another task may run some steps.
    pub(crate) fn moment(&self) -> Duration {
        self.between(5, 50)
    }

    /// Returns fib(n), after the virtual time that the recursion takes.
    pub(crate) fn fib(&self, n: u32) -> u64 {
        let span = Duration::from_nanos(calls(n) * CALL);
        self.computed.set(self.computed.get() + span);
        value(n)
    }

    /// Returns a random span between two numbers of microseconds.
    pub(crate) fn between(&self, least: u32, most: u32) -> Duration {
        Duration::from_micros(u64::from(self.rng.borrow_mut().between(least, most)))
    }

    /// Returns a random number below `choices`.
    pub(crate) fn below(&self, choices: usize) -> usize {
        self.rng.borrow_mut().below(u32::try_from(choices).unwrap_or(u32::MAX)) as usize
    }

    /// Returns the lines that were printed since the last call.
    pub(crate) fn take_printed(&self) -> Vec<String> {
        self.printed.take()
    }

    /// Returns the time that tasks have computed since the last call.
    pub(crate) fn take_computed(&self) -> Duration {
        self.computed.take()
    }
}

/// The job that computes fib(n). The time of the recursion is virtual: the computer that shows the page does not spend
/// it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fib {
    pub(crate) n: u32,
    /// The calls of the recursion that are left.
    pub(crate) left: u64,
}

impl Fib {
    pub(crate) fn new(n: u32) -> Self {
        Self { n, left: calls(n) }
    }

    /// Returns the share that is computed, in percent.
    pub(crate) fn percent(&self) -> u64 {
        100 - 100 * self.left / calls(self.n)
    }
}

impl Job for Fib {
    type Output = u64;

    fn run(&mut self, budget: u32) -> Progress<u64> {
        self.left = self.left.saturating_sub(u64::from(budget.max(1)));
        if self.left > 0 { Progress::More } else { Progress::Done(value(self.n)) }
    }
}

/// Returns the number of calls of the plain recursion.
fn calls(n: u32) -> u64 {
    2 * value(n.min(MAX_N)) - 1
}

fn value(n: u32) -> u64 {
    let (mut last, mut value) = (0_u64, 1_u64);
    for _ in 1..n.min(MAX_N) {
        (last, value) = (value, last + value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{calls, value};

    #[test]
    fn values_and_calls_are_those_of_the_recursion() {
        for n in 0..20 {
            assert_eq!(value(n), sinbin_core::fib::fib(n), "fib({n})");
        }
        assert_eq!((calls(1), calls(2), calls(3), calls(10)), (1, 1, 3, 109));
    }
}
