//! Pipes, and the standard streams of the process (Unix).
//!
//! ```no_run
//! use sinbin::io::{Stdin, Stdout};
//! use sinbin::task::{BufReader, Error, Handle};
//!
//! /// Repeats the lines of the standard input.
//! async fn repeat(handle: Handle<'_>) -> Result<(), Error> {
//!     let mut lines = BufReader::new(Stdin::new(handle)?, vec![0; 4096]);
//!     let stdout = Stdout::new(handle)?;
//!     while let Some(line) = lines.next_line().await? {
//!         stdout.write_all(line).await?;
//!         stdout.write_all(b"\n").await?;
//!     }
//!     Ok(())
//! }
//! ```

mod pipe;
mod standard;

pub use pipe::{PipeReader, PipeWriter, pipe};
pub use standard::{Stderr, Stdin, Stdout};
