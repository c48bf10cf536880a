use std::io;
use std::path::PathBuf;

/// Error in the file of a dialogue.
#[derive(thiserror::Error, Debug)]
pub enum Wrong {
    /// A file or a directory that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Invalid TOML, or fields that a dialogue does not have; the message shows the line.
    #[error("{name}: {error}")]
    Syntax {
        /// The dialogue.
        name: String,
        /// The message of the parser.
        error: Box<toml::de::Error>,
    },
    /// Error in the dialogue as a whole.
    #[error("{name}: {what}")]
    Whole {
        /// The dialogue.
        name: String,
        /// The reason and a remedy.
        what: String,
    },
    /// Error in a client.
    #[error("{name}, {client}: {what}")]
    Client {
        /// The dialogue.
        name: String,
        /// The client's name.
        client: String,
        /// The reason and a remedy.
        what: String,
    },
    /// Error in a step.
    #[error("{name}, {client}, step {step}: {what}")]
    Step {
        /// The dialogue.
        name: String,
        /// The client's name.
        client: String,
        /// The number of the step, counted from 1.
        step: usize,
        /// The reason and a remedy.
        what: String,
    },
}
