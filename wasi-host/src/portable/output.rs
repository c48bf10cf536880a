//! A guest's stdout and stderr, which go where the embedder says.
//!
//! The stdout of a command may be what it is there for, so nothing of it is lost: where there is no room, the command
//! waits, and nothing else does; it can still be ended. A command that writes more than there was room for breaks the rules of
//! WASI, and traps: the host keeps no more than one piece. The stderr of a command is its log, and is told line by line.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::sleep;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most that is written at once.
const PERMIT: usize = 4096;

/// The longest line of stderr that is kept; of a longer one the rest is another line.
const LONGEST: usize = 1024;

/// A place for a guest's stdout.
pub trait Output: Send + Sync {
    /// Returns true if a write would find room, or fail.
    ///
    /// # Errors
    ///
    /// When nothing can be written any more; `BrokenPipe` where nobody reads it.
    fn has_room(&self) -> io::Result<bool>;

    /// Writes what there is room for, and keeps the rest, which goes before anything else. Never waits. It is called for a
    /// piece of 4 KiB at the most behind each [`has_room`](Self::has_room) that was true, which bounds what is kept.
    ///
    /// # Errors
    ///
    /// As with `has_room`.
    fn push(&self, bytes: &[u8]) -> io::Result<()>;

    /// Returns true if people read it, in a terminal.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// Stdout. Each handle of the guest's is one more.
#[derive(Clone)]
pub(super) struct Waiting {
    output: Arc<dyn Output>,
    /// How much may be written before somebody looks again whether there is room.
    permit: usize,
}

/// Stderr. All handles of the guest's are one.
#[derive(Clone)]
pub(super) struct Lines(Arc<Mutex<Line>>);

/// A line that has begun.
struct Line {
    bytes: Vec<u8>,
    /// Called with each line, without its end.
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
    /// Tells what was begun.
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
    /// Returns false: what a terminal obeys is escaped.
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Waiting {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this.
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

/// How soon stdout is looked at again that has no room, at first and at last. (To have tokio wait for it would take a
/// registration that is unsafe.)
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(50);

#[async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        let mut pause = SOON;
        // An error is found by whoever writes next.
        while matches!(self.output.has_room(), Ok(false)) {
            sleep(pause).await;
            pause = (pause * 2).min(LATE);
        }
    }
}

impl OutputStream for Waiting {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let Some(left) = self.permit.checked_sub(bytes.len()) else {
            return Err(StreamError::trap("the guest writes more to stdout than there is room for"));
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
