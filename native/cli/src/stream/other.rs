//! The end of a stream, where there is no way to ask whether it would block.

use std::io::{self, Write};

use super::Standard;

/// The stream as the standard library has it.
#[derive(Debug)]
pub(super) struct Sink(Standard);

impl Sink {
    pub(super) fn open(which: Standard) -> Self {
        Self(which)
    }

    /// Writes a part of it, and more than nothing.
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

    /// Returns true: nothing here says that there is no room.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "others do")]
    pub(super) fn has_room(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns at once: nothing here says that a write would block.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "others do")]
    pub(super) fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}
