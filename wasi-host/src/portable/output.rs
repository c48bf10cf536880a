//! A guest's stdout and stderr, which the embedder directs.
//!
//! The stdout of a command may be its purpose, so none of it is dropped. If the destination has no capacity, the
//! command waits. Nothing else waits, and the command can still be ended. A command that writes more than WASI has
//! permitted traps: the host buffers at most one piece. The stderr of a command is its log, and is passed on line by
//! line.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use wasmtime_wasi::p2::StreamError;

/// The maximum length of a line of stderr, in bytes. A longer line is split.
const LONGEST: usize = 1024;

/// A destination of a guest's stdout.
pub trait Output: Send + Sync {
    /// Returns true if a write would not block, either because there is capacity or because the write would fail.
    ///
    /// # Errors
    ///
    /// Fails if no more bytes can be written; with `BrokenPipe` if the reader has closed its end.
    fn has_room(&self) -> io::Result<bool>;

    /// Writes as many bytes as possible without blocking, and buffers the rest, to be written before any later bytes.
    ///
    /// The host calls this with at most 4 KiB after each [`has_room`](Self::has_room) that returned true, which bounds
    /// the buffer.
    ///
    /// # Errors
    ///
    /// Fails as `has_room` does.
    fn push(&self, bytes: &[u8]) -> io::Result<()>;

    /// Returns the descriptor that becomes writable when there is capacity. Without one, the capacity is checked several
    /// times a second while the guest waits for it.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns true if the destination is a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// The guest's stderr, which consists of lines.
pub(super) struct Lines {
    /// An incomplete line.
    bytes: Vec<u8>,
    /// The function that is called with each line, without the newline.
    say: fn(&str),
}

impl Lines {
    pub(super) const fn new(say: fn(&str)) -> Self {
        Self { bytes: Vec::new(), say }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut part = part;
            while !part.is_empty() {
                let room = LONGEST.saturating_sub(self.bytes.len()).min(part.len());
                self.bytes.extend_from_slice(part.split_off(..room).unwrap_or_default());
                if self.bytes.len() >= LONGEST || self.bytes.ends_with(b"\n") {
                    self.end();
                }
            }
        }
    }

    fn end(&mut self) {
        let text = String::from_utf8_lossy(self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes));
        (self.say)(&text);
        self.bytes.clear();
    }
}

impl Drop for Lines {
    /// Passes on an incomplete last line.
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.end();
        }
    }
}

/// Converts an error of stdout.
pub(super) fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}
