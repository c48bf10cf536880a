//! The saved state of a crawl.

use std::io;

/// Error returned when a saved state cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The state cannot be read.
    #[error("cannot read the state of a crawl: {0}")]
    Read(#[from] io::Error),
    /// The file is not the state of a crawl.
    #[error("not the state of a crawl")]
    Magic,
    /// The state was written by another version.
    #[error("the state has version {0}, and this program reads version {1}")]
    Version(u32, u32),
    /// The state is damaged.
    #[error("the state of the crawl is damaged: {0}")]
    Damaged(&'static str),
}
