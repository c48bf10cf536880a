//! A guest's stdout and stderr, which the embedder directs.
//!
//! The stdout of a command may be its purpose, so none of it is dropped. If the destination has no capacity, the
//! command waits. Nothing else waits, and the command can still be ended. A command that writes more than WASI has
//! permitted traps: the host buffers at most one piece. The stderr of a command is its log, and is passed on line by
//! line.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::sleep;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The maximum number of bytes of one write.
const PERMIT: usize = 4096;

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

    /// Returns true if the destination is a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// The guest's stdout. Each of the guest's handles is a clone with its own permit.
#[derive(Clone)]
pub(super) struct Waiting {
    output: Arc<dyn Output>,
    /// The number of bytes that the guest may write before it has to check the capacity again.
    permit: usize,
}

/// The guest's stderr. All of the guest's handles share one line.
#[derive(Clone)]
pub(super) struct Lines(Arc<Mutex<Line>>);

/// An incomplete line.
struct Line {
    bytes: Vec<u8>,
    /// The function that is called with each line, without the newline.
    say: fn(&str),
}

impl Waiting {
    pub(super) fn new(output: Arc<dyn Output>) -> Self {
        Self { output, permit: 0 }
    }
}

impl Lines {
    pub(super) fn new(say: fn(&str)) -> Self {
        Self(Arc::new(Mutex::new(Line { bytes: Vec::new(), say })))
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
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

impl Drop for Line {
    /// Passes on an incomplete last line.
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.end();
        }
    }
}

impl IsTerminal for Waiting {
    fn is_terminal(&self) -> bool {
        self.output.is_terminal()
    }
}

impl IsTerminal for Lines {
    /// Returns false: the log escapes terminal control sequences.
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Waiting {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 uses this.
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

/// The shortest and the longest pause between two checks of a stdout without capacity. (Registering stdout with tokio
/// would require unsafe code.)
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(50);

#[async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        let mut pause = SOON;
        // The next write reports an error.
        while matches!(self.output.has_room(), Ok(false)) {
            sleep(pause).await;
            pause = (pause * 2).min(LATE);
        }
    }
}

impl OutputStream for Waiting {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let Some(left) = self.permit.checked_sub(bytes.len()) else {
            return Err(StreamError::trap("the guest wrote more to stdout than it was permitted to"));
        };
        self.permit = left;
        self.output.push(&bytes).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let has_room = self.output.has_room().map_err(failed)?;
        self.permit = if has_room { PERMIT } else { 0 };
        Ok(self.permit)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}
