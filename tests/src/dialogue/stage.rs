use std::fmt::{self, Display, Formatter};

use super::script::{Dialogue, Options, Service};

/// A host: serves the services in a process of its own, or in a simulation.
pub trait Host {
    /// Returns the short name for `--host`.
    fn name(&self) -> &str;

    /// Returns a one-line description.
    fn about(&self) -> &str;

    /// Returns the reason if the host cannot serve this dialogue.
    fn lacks(&self, dialogue: &Dialogue) -> Option<String>;

    /// Starts the service with these options.
    ///
    /// # Errors
    ///
    /// Fails if the service cannot be started. All dialogues with this service and these options then fail.
    fn open(&self, service: Service, options: &Options) -> Result<Box<dyn Stage>, String>;
}

/// A running service with which dialogues can be played, one after the other.
pub trait Stage {
    /// Plays a dialogue to its end, or to its first failure.
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome;

    /// Returns the output of the service, such as its log, for the report of a failure.
    fn says(&self) -> String {
        String::new()
    }
}

/// The outcome of a dialogue.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The bytes that each client received, in the order of the dialogue's clients. The record ends where the dialogue
    /// ended.
    pub heard: Vec<Heard>,
    /// The first failure, if any. All clients stop there.
    pub failure: Option<Failure>,
}

/// The bytes that a client received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The client's name.
    pub client: String,
    /// All bytes that the client has read.
    pub bytes: Vec<u8>,
}

/// The failure of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The client's name.
    pub client: String,
    /// The number of the step, counted as in the file; 0 is the implicit [`Step::Connect`](super::Step::Connect).
    pub step: usize,
    /// The step and what happened instead.
    pub what: String,
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { client, step, what } = self;
        write!(f, "{client}, step {step}: {what}")
    }
}
