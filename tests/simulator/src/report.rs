//! What a run came to.

use std::time::Duration;

/// Counts of a run, or of many.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Steps of tasks; before each, the promises were checked.
    pub steps: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Connections that were taken.
    pub connections: u64,
    /// Answers that were checked.
    pub answers: u64,
    /// Jobs that were begun.
    pub jobs: u64,
    /// Bytes that the service read.
    pub received: u64,
    /// Bytes that it sent.
    pub sent: u64,
    /// Sends of nothing: calls of the system that could have been saved.
    pub empty_sends: u64,
    /// Time that passed in the run.
    pub simulated: Duration,
    /// A sum of all that happened: two runs are the same where this is.
    pub sum: u64,
}

impl Report {
    /// Adds what another run came to.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.turns += other.turns;
        self.connections += other.connections;
        self.answers += other.answers;
        self.jobs += other.jobs;
        self.received += other.received;
        self.sent += other.sent;
        self.empty_sends += other.empty_sends;
        self.simulated = self.simulated.saturating_add(other.simulated);
        self.sum = self.sum.rotate_left(1) ^ other.sum;
    }
}

/// A run that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// What it came to.
    pub outcome: Result<Report, Failure>,
    /// Its decisions, where `rng` was recorded.
    pub tape: Vec<u32>,
    /// What happened, where that was asked for.
    pub story: String,
}

/// A run that went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What was wrong first.
    pub what: String,
    /// After so many steps of tasks.
    pub step: u64,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after {} steps: {}", self.step, self.what)
    }
}

impl std::error::Error for Failure {}
