use std::fmt::{self, Display, Formatter};

use super::script::{Dialogue, Options, Service};

/// Something that serves: a program in a process of its own, or a simulation.
pub trait Host {
    /// A short word for it, for `--host`.
    fn name(&self) -> &str;

    /// A line about it.
    fn about(&self) -> &str;

    /// Why this dialogue cannot be held with it, if it cannot.
    fn lacks(&self, dialogue: &Dialogue) -> Option<String>;

    /// Starts the service with these options.
    ///
    /// # Errors
    ///
    /// When that fails, which all dialogues fail with that would have been held there.
    fn open(&self, service: Service, options: &Options) -> Result<Box<dyn Stage>, String>;
}

/// A service that runs, and that dialogues can be held with, one after the other.
pub trait Stage {
    /// Holds a dialogue to its end, or to where it fails.
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome;

    /// What the service says of itself, such as its log, for whoever asks why something failed.
    fn says(&self) -> String {
        String::new()
    }
}

/// What came of a dialogue.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// What each client heard, in the order of the dialogue's clients; as far as they got.
    pub heard: Vec<Heard>,
    /// What went wrong first, if something did. All clients stop there.
    pub failure: Option<Failure>,
}

/// What a client heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The client's name.
    pub client: String,
    /// All bytes that it read.
    pub bytes: Vec<u8>,
}

/// How a step failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The client's name.
    pub client: String,
    /// Which step, counted as in the file; 0 is the connecting that is understood.
    pub step: usize,
    /// What it did, and what happened.
    pub what: String,
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { client, step, what } = self;
        write!(f, "{client}, step {step}: {what}")
    }
}
