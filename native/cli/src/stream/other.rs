//! The destination of a stream, on systems on which it can't be polled.

use std::io::{self, Write};

use super::Standard;

/// The standard library's stream.
#[derive(Debug)]
pub(super) struct Sink(Standard);

impl Sink {
    pub(super) fn open(which: Standard) -> Self {
        Self(which)
    }

    /// Writes at least one byte, and returns the number of written bytes.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            Standard::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
            Standard::Err => io::stderr().lock().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    /// Returns true: the capacity of the stream is unknown.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) fn has_room(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns at once: a write blocks by itself.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(super) fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}
