//! The result of a run.

use std::time::Duration;

use crate::network::Calls;

/// Counts of one run, or of many.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Steps of tasks; the promises were checked before each.
    pub steps: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Answers that were checked.
    pub answers: u64,
    /// Jobs that were submitted.
    pub jobs: u64,
    /// Outgoing connections.
    pub calls: Calls,
    /// Bytes that the service received.
    pub received: u64,
    /// Bytes that the service sent.
    pub sent: u64,
    /// Sends without bytes: system calls that could have been saved.
    pub empty_sends: u64,
    /// Virtual time that passed in the run.
    pub simulated: Duration,
    /// A checksum of everything that happened: equal runs have equal sums.
    pub sum: u64,
}

impl Report {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.turns += other.turns;
        self.connections += other.connections;
        self.answers += other.answers;
        self.jobs += other.jobs;
        self.calls.add(&other.calls);
        self.received += other.received;
        self.sent += other.sent;
        self.empty_sends += other.empty_sends;
        self.simulated = self.simulated.saturating_add(other.simulated);
        self.sum = self.sum.rotate_left(1) ^ other.sum;
    }
}

/// The end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The counts or the failure.
    pub outcome: Result<Report, Failure>,
    /// The decisions, if they were recorded.
    pub tape: Vec<u32>,
    /// The story, if it was recorded.
    pub story: String,
}

/// The failure of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The first violation.
    pub what: String,
    /// The number of steps of tasks before it.
    pub step: u64,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after {} steps: {}", self.step, self.what)
    }
}

impl std::error::Error for Failure {}
