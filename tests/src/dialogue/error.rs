use std::io;
use std::path::PathBuf;

/// What is wrong with a dialogue's file, and where.
#[derive(thiserror::Error, Debug)]
pub enum Wrong {
    /// A file or a directory that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no TOML, or has other fields than a dialogue; the message shows the line.
    #[error("{name}: {error}")]
    Syntax {
        /// The dialogue.
        name: String,
        /// What the parser says.
        error: Box<toml::de::Error>,
    },
    /// The dialogue as a whole makes no sense.
    #[error("{name}: {what}")]
    Whole {
        /// The dialogue.
        name: String,
        /// Why, and what to do.
        what: String,
    },
    /// A client makes no sense.
    #[error("{name}, {client}: {what}")]
    Client {
        /// The dialogue.
        name: String,
        /// The client's name.
        client: String,
        /// Why, and what to do.
        what: String,
    },
    /// A step makes no sense.
    #[error("{name}, {client}, step {step}: {what}")]
    Step {
        /// The dialogue.
        name: String,
        /// The client's name.
        client: String,
        /// Which step, counted from 1.
        step: usize,
        /// Why, and what to do.
        what: String,
    },
}
