//! A guest's stdout and stderr: those of the process.
//!
//! The stdout of a command may be what it is there for, so nothing of it is lost: where there is no room, the command
//! waits, and nothing else does; it can still be ended. The stderr of a command is its log, which is dropped and
//! counted where nobody takes it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use sinbin::command::stream::{ERR, OUT};
use tokio::io::AsyncWrite;
use tokio::time::sleep;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most that is written at once.
const PERMIT: usize = 4096;

/// Stdout.
#[derive(Clone, Copy)]
pub(super) struct Waiting;

/// Stderr.
#[derive(Clone, Copy)]
pub(super) struct Lossy;

impl IsTerminal for Waiting {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stdout())
    }
}

impl IsTerminal for Lossy {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stderr())
    }
}

impl StdoutStream for Waiting {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this.
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(*self)
    }
}

impl StdoutStream for Lossy {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(*self)
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
        while matches!(OUT.has_room(), Ok(false)) {
            sleep(pause).await;
            pause = (pause * 2).min(LATE);
        }
    }
}

impl OutputStream for Waiting {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        OUT.push(&bytes).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        OUT.has_room().map(|has_room| if has_room { PERMIT } else { 0 }).map_err(failed)
    }
}

#[async_trait]
impl Pollable for Lossy {
    async fn ready(&mut self) {}
}

impl OutputStream for Lossy {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // The stream counts a line that it drops.
        ERR.offer(&bytes).ok();
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
